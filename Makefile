# sallyport: build, tests and checks. `make help` lists the targets.
#
# Everything made goes to BUILD; `make BUILD=elsewhere` leaves another build alone. New files need no line here:
# src/<dir>/*.c, tests/unit/<dir>/test_*.c, tests/fuzz/fuzz_*.c and tests/integration/test_*.py are found.

VERSION := 0.1.0

CC      ?= cc
CLANG   ?= clang
PYTHON  ?= /usr/bin/python3
BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
WERROR  ?= 1
# e.g. address,undefined; `make asan` sets it
SANITIZE ?=
# 1: instrument for gcov; `make coverage` sets it
COVERAGE ?=
# a fuzz target's time in `make fuzz`
FUZZ_SECONDS ?= 30
# the time of `make soak`
SOAK_SECONDS ?= 600

export UBSAN_OPTIONS ?= print_stacktrace=1

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The levels of the tree, lowest first; a directory may include and link only what stands below its own level.
# scripts/lint checks the includes against the same lists.
LEVEL_0 := base
LEVEL_1 := io http pki conf
LEVEL_2 := tls route ipc store
LEVEL_3 := policy upstream session
LEVEL_4 := snapshot
LEVEL_5 := proxy
LEVEL_6 := admin
LEVEL_7 := app
LEVELS  := 0 1 2 3 4 5 6 7
DIRS    := $(foreach l,$(LEVELS),$(LEVEL_$l))
# dirs_below_<dir>: what <dir> may link, highest level first (the order in which a linker wants archives)
below_0 :=
below_1 := $(LEVEL_0)
below_2 := $(LEVEL_1) $(below_1)
below_3 := $(LEVEL_2) $(below_2)
below_4 := $(LEVEL_3) $(below_3)
below_5 := $(LEVEL_4) $(below_4)
below_6 := $(LEVEL_5) $(below_5)
below_7 := $(LEVEL_6) $(below_6)
$(foreach l,$(LEVELS),$(foreach d,$(LEVEL_$l),$(eval dirs_below_$d := $(below_$l))))

# `make V=1` shows the commands.
say = $(if $(V),,@echo '  $(patsubst $(BUILD)/%,%,$1)' && )

# --- flags ---------------------------------------------------------------------------------------------------------

PACKAGES := openssl libevent_core jansson yaml-0.1 libseccomp libcurl
pkg       = $(shell pkg-config $1 $2 2>/dev/null)
# The targets that install what is missing find that out themselves.
ifneq ($(shell pkg-config --exists $(PACKAGES) 2>/dev/null && echo yes),yes)
ifeq ($(filter test test-full demo bench fuzz lint fmt coverage clean help,$(MAKECMDGOALS)),)
$(warning not all of $(PACKAGES) are installed: run scripts/deps)
endif
endif

# Those of the flags that the compiler takes: all at once, or one by one when it refuses some.
takes = $(shell echo 'int main(void){return 0;}' | $(CC) -Werror $1 -x c - -o /dev/null 2>/dev/null && echo yes)
probe = $(if $(call takes,$1),$1,$(foreach f,$1,$(if $(call takes,$f),$f)))

# Warnings are judged by the plain builds: sanitizers mislead gcc's range analysis.
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wundef \
            -Wpointer-arith -Wwrite-strings -Wcast-qual $(if $(filter 1,$(WERROR)),$(if $(SANITIZE),-Wno-format-truncation,-Werror))
HARDEN_C := -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero
HARDEN_L := -pie -Wl,-z,relro -Wl,-z,now -Wl,--as-needed

ifneq ($(SANITIZE),)
MODE_C := -O1 -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
MODE_L := -fsanitize=$(SANITIZE)
BOX_CPP := -DSALLYPORT_NO_SANDBOX
else ifneq ($(COVERAGE),)
MODE_C := -O0 --coverage
MODE_L := --coverage
BOX_CPP := -DSALLYPORT_NO_SANDBOX
else
MODE_C := -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 $(call probe,$(HARDEN_C))
MODE_L := $(call probe,$(HARDEN_L))
endif

CPPFLAGS_ALL := -D_GNU_SOURCE -DSALLYPORT_VERSION='"$(VERSION)"' -Iinclude $(BOX_CPP) $(CPPFLAGS)
CFLAGS_ALL   := -std=gnu11 -g $(MODE_C) $(WARNINGS) -pthread $(call pkg,--cflags,$(PACKAGES)) $(CFLAGS)
LDFLAGS_ALL  := $(MODE_L) -pthread $(LDFLAGS)
LIBS         := $(call pkg,--libs,$(PACKAGES)) -lm
CHECK_CFLAGS  = $(call pkg,--cflags,check)
CHECK_LIBS    = $(call pkg,--libs,check)

# A change of compiler or flags rebuilds everything.
FLAGS := $(shell $(CC) --version 2>/dev/null | head -n 1) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(LIBS)
STAMP := $(BUILD)/flags
$(shell mkdir -p $(BUILD))
ifneq ($(file <$(STAMP)),$(FLAGS))
$(file >$(STAMP),$(FLAGS))
endif

# A source that comes or goes changes archives and runners.
SOURCES_STAMP := $(BUILD)/sources
SOURCES := $(sort $(wildcard src/*/*.c tests/unit/*/*.c))
ifneq ($(file <$(SOURCES_STAMP)),$(SOURCES))
$(file >$(SOURCES_STAMP),$(SOURCES))
endif

# --- the program ---------------------------------------------------------------------------------------------------

sources = $(sort $(wildcard src/$1/*.c))
objects = $(patsubst %.c,$(BUILD)/obj/%.o,$1)
archives = $(patsubst %,$(BUILD)/lib/%.a,$1)

MAIN     := src/app/main.c
PROGRAM  := $(BUILD)/sallyport
ARCHIVES := $(call archives,$(LEVEL_7) $(dirs_below_app))

.PHONY: all help
all: $(PROGRAM)

help:
	@echo 'all          build/sallyport (the default)'
	@echo 'demo         a gateway with certificates of its own, and curl against it (ONCE=1: ends by itself)'
	@echo 'check-fast   the unit tests; unit-<dir>: those of one directory'
	@echo 'test         everything that a change must pass, with the sanitizers; what is missing is installed first'
	@echo 'test-full    test and what takes longer'
	@echo 'asan         units, corpus replay and integration tests with AddressSanitizer and UBSan'
	@echo 'integration  tests/integration against build/sallyport (PYTEST="-k name": some of them)'
	@echo 'fuzz         the fuzz targets, FUZZ_SECONDS=$(FUZZ_SECONDS) each; fuzz-replay: their corpus only'
	@echo 'bench        CPU per operation beside nginx and haproxy (BENCH_SCENARIOS=quick|all|names, BENCH_ROUNDS=$(BENCH_ROUNDS))'
	@echo 'bench-micro  what single steps of a request cost; bench-gate: their instructions against the budget'
	@echo 'bench-forged instructions of a verification, good and forged, with and without a CRL of a million entries'
	@echo 'bench-growth cost of an operation against hostnames, policies, CRL entries, connections (BENCH_GROWTH=names)'
	@echo 'budget       write the budget of instructions anew, after reading docs/performance.md'
	@echo 'conformance  NIST PKITS and x509-limbo through `sallyport verify` (CONFORMANCE=DIR, see docs/conformance.md)'
	@echo 'mutation     takes each defence out and sees its tests fail (MUTATION="sec-29": some)'
	@echo 'soak         ten minutes of mixed load with a reload every 5 s (SOAK_SECONDS=$(SOAK_SECONDS)), also with kills (SOAK_KILL=7)'
	@echo 'lint         levels, doors, private headers, clang-tidy, cppcheck; fmt: clang-format'
	@echo 'coverage     what units, corpus and integration tests reach: $(BUILD)/coverage/index.html'
	@echo 'install      DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)'
	@echo 'clean'

$(PROGRAM): $(call objects,$(MAIN)) $(ARCHIVES)
	$(call say,$@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: %.c $(STAMP)
	@mkdir -p $(@D)
	$(call say,$@)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# One archive per directory, so that the units of a directory link with what is below it and nothing else.
define archive_rule
$(BUILD)/lib/$1.a: $(call objects,$(filter-out $(MAIN),$2)) $(SOURCES_STAMP)
	@mkdir -p $$(@D)
	@rm -f $$@
	@ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach d,$(DIRS),$(eval $(call archive_rule,$d,$(call sources,$d))))

# --- unit tests ----------------------------------------------------------------------------------------------------

# tests/unit/<dir>/*.c become $(BUILD)/unit/<dir>; a generated main runs the suite of each test_*.c. Other files there
# are helpers of the directory, tests/unit/support/*.c are helpers of all.
UNIT_DIRS := $(filter-out support,$(patsubst tests/unit/%/,%,$(sort $(dir $(wildcard tests/unit/*/test_*.c)))))
unit_sources = $(sort $(wildcard tests/unit/$1/*.c))
$(eval $(call archive_rule,support,$(call unit_sources,support)))

$(BUILD)/obj/tests/%.o: CPPFLAGS_ALL += -Itests/unit
$(BUILD)/obj/tests/%.o: CFLAGS_ALL += $(CHECK_CFLAGS)

# llhttp, the oracle of the HTTP/1 tests, comes as C source (Debian's node-llhttp). Tests that have it see HAVE_LLHTTP.
LLHTTP := $(wildcard /usr/share/llhttp/llhttp.c)
ifneq ($(LLHTTP),)
$(BUILD)/obj/tests/%.o: CPPFLAGS_ALL += -DHAVE_LLHTTP -isystem /usr/share/include/llhttp
LLHTTP_ARCHIVE := $(BUILD)/lib/llhttp.a
$(LLHTTP_ARCHIVE): $(STAMP)
	@mkdir -p $(@D) $(BUILD)/obj/llhttp
	$(call say,$@)cd $(BUILD)/obj/llhttp && $(CC) -O2 -w -fPIE -DLLHTTP_STRICT_MODE=1 -I/usr/share/include/llhttp \
	    -c /usr/share/llhttp/*.c && ar rcs $(abspath $@) *.o
endif

define unit_rule
$(BUILD)/obj/tests/unit/$1/runner.c: $(SOURCES_STAMP)
	@mkdir -p $$(@D)
	@scripts/unit-runner $1 $(filter tests/unit/$1/test_%,$(call unit_sources,$1)) > $$@

$(BUILD)/obj/tests/unit/$1/runner.o: $(BUILD)/obj/tests/unit/$1/runner.c
	$$(call say,$$@)$$(CC) $$(CPPFLAGS_ALL) $$(CFLAGS_ALL) -c -o $$@ $$<

$(BUILD)/unit/$1: $(call objects,$(call unit_sources,$1)) $(BUILD)/obj/tests/unit/$1/runner.o \
                  $(call archives,support $1 $(dirs_below_$1)) $(LLHTTP_ARCHIVE)
	@mkdir -p $$(@D)
	$$(call say,$$@)$$(CC) $$(LDFLAGS_ALL) -o $$@ $$^ $$(CHECK_LIBS) $$(LIBS)

.PHONY: unit-$1
unit-$1: $(BUILD)/unit/$1
	@BUILD=$(BUILD) CK_DEFAULT_TIMEOUT=60 $(BUILD)/unit/$1
endef
$(foreach d,$(UNIT_DIRS),$(eval $(call unit_rule,$d)))

.PHONY: check-fast
check-fast: $(UNIT_DIRS:%=unit-%)

# --- fuzzing -------------------------------------------------------------------------------------------------------

# tests/fuzz/fuzz_<input>.c: with a small main that runs the corpus (any compiler), or with clang's libFuzzer.
FUZZ_INPUTS := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

$(FUZZ_INPUTS:%=$(BUILD)/fuzz/replay_%): $(BUILD)/fuzz/replay_%: \
        $(BUILD)/obj/tests/fuzz/fuzz_%.o $(BUILD)/obj/tests/fuzz/replay.o $(call archives,support) $(ARCHIVES) $(LLHTTP_ARCHIVE)
	@mkdir -p $(@D)
	$(call say,$@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(FUZZ_INPUTS:%=$(BUILD)/fuzz/fuzz_%): $(BUILD)/fuzz/fuzz_%: \
        $(BUILD)/obj/tests/fuzz/fuzz_%.o $(call archives,support) $(ARCHIVES) $(LLHTTP_ARCHIVE)
	@mkdir -p $(@D)
	$(call say,$@)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS)

.PHONY: fuzz fuzz-run fuzz-replay
fuzz-replay: $(FUZZ_INPUTS:%=$(BUILD)/fuzz/replay_%)
	@for input in $(FUZZ_INPUTS); do $(BUILD)/fuzz/replay_$$input tests/fuzz/corpus/$$input || exit 1; done

fuzz:
	@scripts/deps fuzz
	@$(MAKE) fuzz-run BUILD=$(BUILD)/libfuzzer CC=$(CLANG) SANITIZE=fuzzer-no-link,address,undefined

# New inputs stay in BUILD; a crash is kept there too, and its path is printed.
fuzz-run: $(FUZZ_INPUTS:%=$(BUILD)/fuzz/fuzz_%)
	@for input in $(FUZZ_INPUTS); do \
	    echo "fuzz $$input: $(FUZZ_SECONDS) s"; \
	    mkdir -p $(BUILD)/corpus/$$input; \
	    $(BUILD)/fuzz/fuzz_$$input -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 \
	        -artifact_prefix=$(BUILD)/corpus/crash-$$input- \
	        $(BUILD)/corpus/$$input $(wildcard tests/fuzz/corpus)/$$input || exit 1; \
	done

# --- benchmark -----------------------------------------------------------------------------------------------------

# docs/performance.md says how it is measured. BENCH_OUT=docs/bench renews the results that are shown.
BENCH_ROUNDS    ?= 3
BENCH_SECONDS   ?= 2
BENCH_SCENARIOS ?= quick
BENCH_OUT       ?= $(BUILD)/bench
BENCH_COMMIT     = $(shell git describe --always --dirty 2>/dev/null)
BENCH_LOAD      := $(BUILD)/bench/load $(BUILD)/bench/origin

bench_objects = $(patsubst %,$(BUILD)/obj/tests/bench/%.o,$1)
BENCH_INSIDE    := $(BUILD)/bench/micro $(BUILD)/bench/gate_worker
$(BUILD)/bench/load: $(call bench_objects,load load_options measure)
$(BUILD)/bench/origin: $(call bench_objects,origin)
$(BUILD)/bench/micro: $(call bench_objects,micro measure) $(ARCHIVES)
$(BUILD)/bench/gate_worker: $(call bench_objects,gate_worker) $(ARCHIVES)
$(BUILD)/bench/forged: $(call bench_objects,forged) $(call archives,support) $(ARCHIVES)
$(BENCH_LOAD) $(BENCH_INSIDE) $(BUILD)/bench/forged:
	@mkdir -p $(@D)
	$(call say,$@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

.PHONY: bench
bench: $(PROGRAM) $(BENCH_LOAD)
	@scripts/deps bench
	@SALLYPORT=$(abspath $(PROGRAM)) $(PYTHON) tests/bench/bench.py --build $(BUILD)/bench --scenarios $(BENCH_SCENARIOS) \
	    --rounds $(BENCH_ROUNDS) --seconds $(BENCH_SECONDS) --out $(BENCH_OUT)/results.jsonl --commit '$(BENCH_COMMIT)'
	@$(PYTHON) tests/bench/bench_report.py $(BENCH_OUT)/results.jsonl --svg $(BENCH_OUT)/results.svg

.PHONY: bench-micro bench-growth bench-gate budget
bench-micro: $(BENCH_INSIDE)
	@scripts/deps bench
	@$(PYTHON) tests/bench/micro.py --build $(BUILD)/bench --out $(BENCH_OUT)/micro.jsonl --commit '$(BENCH_COMMIT)'

bench-growth: $(PROGRAM) $(BENCH_LOAD) $(BENCH_INSIDE)
	@scripts/deps bench
	@SALLYPORT=$(abspath $(PROGRAM)) $(PYTHON) tests/bench/growth.py --build $(BUILD)/bench --out $(BENCH_OUT)/growth.jsonl \
	    --commit '$(BENCH_COMMIT)' $(if $(BENCH_GROWTH),--only $(BENCH_GROWTH))

# Instructions of fixed work against tests/bench/budget.json; part of `make test`.
bench-gate budget: $(BENCH_LOAD) $(BENCH_INSIDE)
	@$(PYTHON) tests/bench/gate.py --build $(BUILD)/bench $(if $(filter budget,$@),--renew)

# Instructions of a verification, good and forged.
.PHONY: bench-forged
bench-forged: $(BUILD)/bench/forged
	@$(PYTHON) tests/bench/forged.py --build $(BUILD)/bench

# --- whole tests ---------------------------------------------------------------------------------------------------

.PHONY: integration asan soak conformance mutation test test-full demo
integration: $(PROGRAM)
	@SALLYPORT=$(abspath $(PROGRAM)) $(if $(SANITIZE),SALLYPORT_PATIENCE=60) PYTHON=$(PYTHON) scripts/test-integration $(PYTEST)

soak: $(PROGRAM)
	@SALLYPORT=$(abspath $(PROGRAM)) $(PYTHON) scripts/soak $(SOAK_SECONDS) $(SOAK_KILL)

conformance: $(PROGRAM)
	@SALLYPORT=$(abspath $(PROGRAM)) $(PYTHON) scripts/conformance '$(CONFORMANCE)'

mutation:
	@CC='$(CC)' BUILD=$(BUILD) $(PYTHON) scripts/mutate $(MUTATION)

asan:
	@$(MAKE) check-fast fuzz-replay integration BUILD=$(BUILD)/asan SANITIZE=address,undefined

test:
	@scripts/deps test
	@MAKE='$(MAKE)' BUILD=$(BUILD) scripts/test-all

test-full:
	@scripts/deps test fuzz
	@MAKE='$(MAKE)' BUILD=$(BUILD) scripts/test-all full

demo:
	@scripts/deps
	@$(MAKE) -j$(shell nproc) all
	@SALLYPORT=$(abspath $(PROGRAM)) ONCE='$(ONCE)' scripts/demo

# --- checks of the source ------------------------------------------------------------------------------------------

.PHONY: lint lint-tree fmt coverage
C_FILES := $(sort $(wildcard include/*/*.h src/*/*.[ch] tests/unit/*/*.[ch] tests/fuzz/*.[ch] tests/bench/*.[ch]))

lint-tree:
	@$(foreach l,$(LEVELS),LEVEL_$l='$(LEVEL_$l)') $(PYTHON) scripts/lint

lint: lint-tree
	@scripts/deps lint
	@echo clang-format
	@clang-format --dry-run -Werror $(C_FILES)
	@echo cppcheck
	@cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr --suppressions-list=scripts/cppcheck.suppress \
	    --enable=warning,performance,portability -Iinclude -D_GNU_SOURCE \
	    '-Djson_object_foreach(object,key,value)=while((key=next_key(object))&&(value=next(object)))' -j2 src
	@echo clang-tidy
	@printf '%s\n' $(wildcard src/*/*.c) | xargs -P2 -n1 \
	    scripts/tidy $(CPPFLAGS_ALL) -std=gnu11 $(call pkg,--cflags,$(PACKAGES)) --

fmt:
	@scripts/deps lint
	clang-format -i $(C_FILES)

coverage:
	@scripts/deps test lint
	@$(MAKE) check-fast fuzz-replay integration BUILD=$(BUILD)/coverage-build COVERAGE=1
	@mkdir -p $(BUILD)/coverage
	@gcovr --root . --filter src/ --exclude-unreachable-branches --print-summary \
	    --html-details $(BUILD)/coverage/index.html $(BUILD)/coverage-build/obj

# --- install -------------------------------------------------------------------------------------------------------

.PHONY: install clean
DOC_DIR := $(DESTDIR)$(PREFIX)/share/doc/sallyport

install: $(PROGRAM)
	install -d $(DESTDIR)$(PREFIX)/bin $(DOC_DIR)/conf
	install -m 755 $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/sallyport
	install -m 644 $(wildcard *.md docs/*.md) $(DOC_DIR)
	install -m 644 $(wildcard conf/*) $(DOC_DIR)/conf
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	sed 's|/usr/local|$(PREFIX)|' conf/sallyport.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/sallyport.service
	install -m 644 conf/sallyport.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sallyport.conf

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
