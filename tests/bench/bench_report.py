#!/usr/bin/python3
"""Results of bench.py as a table and as a chart.

    bench_report.py RESULTS.jsonl              the table, as Markdown
    bench_report.py RESULTS.jsonl --svg FILE   the chart: CPU per operation, times that of nginx

The same results make the same bytes. The chart is readable on light and on dark pages.
"""
import argparse
import json
import pathlib
import statistics
import sys
from xml.sax.saxutils import escape

BASE = "nginx"
LABELS = {
    "handshake": "full mTLS handshake + request", "handshake-many": "the same, 1,000 client certificates",
    "handshake-rsa": "full handshake, RSA-2048", "resume": "resumed mTLS + request",
    "keepalive": "keep-alive request, 1 KiB", "download": "download, 1 MiB", "upload": "upload, 1 MiB",
    "latency": "p99 at half of nginx's rate", "idle": "memory of an idle connection",
    "idle-asked": "the same, after a request",
    "crl-100k": "handshake, CRL of 100,000", "crl-1m": "handshake, CRL of 1,000,000",
    "hosts-1000": "handshake, 1,000 hostnames",
}
# scenario: the figure that counts and its unit; CPU time for all others
METRIC = {"latency": ("p99_us", "us"), "idle": ("pss_bytes", "bytes"), "idle-asked": ("pss_bytes", "bytes")}
STARTS = ("crl-100k", "crl-1m", "hosts-1000")
COLORS = {"nginx": "#7a8794", "haproxy": "#b08d57", "sallyport": "#2f7fd1"}


def read(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line]


def metric(scenario):
    return METRIC.get(scenario, ("cpu_us", "us"))


def shown(result):
    key, unit = metric(result["scenario"])
    return f"{result.get(key, 0):.4g} {unit}, {result['per_second']:.0f}/s"


def summary(results):
    """[{scenario, contender, median, low, high, ratio, rounds, metric, unit, ...}], a line for each figure."""
    out = []
    figures = [(name, *metric(name)) for name in dict.fromkeys(r["scenario"] for r in results)]
    figures += [(name, key, unit) for name, *_ in figures if name in STARTS
                for key, unit in (("ready_s", "s"), ("start_pss_kib", "KiB"))]
    for scenario, key, unit in figures:
        mine = [r for r in results if r["scenario"] == scenario and key in r]
        base = {r["round"]: r[key] for r in mine if r["contender"] == BASE}
        for contender in dict.fromkeys(r["contender"] for r in mine):
            runs = [r for r in mine if r["contender"] == contender]
            values = [r[key] for r in runs]
            ratios = [r[key] / base[r["round"]] for r in runs if base.get(r["round"])]
            out.append({"scenario": scenario, "contender": contender, "metric": key, "unit": unit, "rounds": len(runs),
                        "median": statistics.median(values), "low": min(values), "high": max(values),
                        "ratio": statistics.median(ratios) if ratios else None, "version": runs[0]["version"],
                        "date": runs[0]["date"], "cpu": runs[0]["cpu"], "system": runs[0]["system"]})
    return out


def label_of(line):
    label = LABELS.get(line["scenario"], line["scenario"])
    if line["metric"] == "ready_s":
        return label.replace("handshake, ", "start with ")
    if line["metric"] == "start_pss_kib":
        return label.replace("handshake, ", "memory with ")
    return label


def table(lines):
    contenders = list(dict.fromkeys(line["contender"] for line in lines))
    contenders.sort(key=lambda name: list(COLORS).index(name) if name in COLORS else len(COLORS))
    out = ["| | unit | " + " | ".join(contenders) + " |", "|---|---|" + "---|" * len(contenders)]
    rows = {}
    for line in lines:
        rows.setdefault((label_of(line), line["unit"]), {})[line["contender"]] = line
    for (label, unit), by_contender in rows.items():
        cells = []
        for contender in contenders:
            line = by_contender.get(contender)
            if not line:
                cells.append("")
                continue
            ratio = f"**{line['ratio']:.2f}** " if line["ratio"] is not None and contender != BASE else ""
            cells.append(f"{ratio}{line['median']:.4g} [{line['low']:.4g}..{line['high']:.4g}]")
        out.append(f"| {label} | {unit} | " + " | ".join(cells) + " |")
    return "\n".join(out)


# ---- chart ----

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.small { font-size: 11px; fill: #57606a; }
.line { stroke: #d0d7de; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; } .line { stroke: #3d444d; }
}
</style>"""
LEFT, BAR, GAP, WIDTH = 230, 14, 12, 760


def chart(lines):
    lines = [line for line in lines if line["ratio"] is not None]
    contenders = [name for name in COLORS if any(line["contender"] == name for line in lines)]
    rows = {}
    for line in lines:
        rows.setdefault(label_of(line), {})[line["contender"]] = line
    rows = {label: row for label, row in rows.items() if "sallyport" in row}
    most = min(2.0, max((line["ratio"] for row in rows.values() for line in row.values()), default=1) * 1.02)
    scale = (WIDTH - LEFT - 70) / most
    out, y = [], 56
    for label, row in rows.items():
        height = BAR * len(contenders)
        out.append(f'<text x="{LEFT - 10}" y="{y + height / 2 + 4:.1f}" text-anchor="end">{escape(label)}</text>')
        for i, contender in enumerate(contenders):
            line = row.get(contender)
            if not line:
                continue
            width = min(line["ratio"], most) * scale
            top = y + i * BAR
            amount = f"{line['median']:,.0f} {line['unit']}" if line["median"] >= 10 else f"{line['median']:.2f} {line['unit']}"
            out.append(f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR - 2}" rx="2" '
                       f'fill="{COLORS[contender]}"><title>{escape(contender)}: {amount}</title></rect>')
            out.append(f'<text class="small" x="{LEFT + width + 5:.1f}" y="{top + 10}">{line["ratio"]:.2f}</text>')
        y += height + GAP
    x = LEFT
    legend = []
    for contender in contenders:
        version = next(line["version"] for line in lines if line["contender"] == contender)
        text = f"{contender} {version}"
        legend.append(f'<rect x="{x}" y="30" width="12" height="12" rx="2" fill="{COLORS[contender]}"/>'
                      f'<text class="small" x="{x + 17}" y="40">{escape(text)}</text>')
        x += 30 + 7 * len(text)
    first = lines[0]
    note = f"{first['date']}, {first['system']}, {first['cpu']}; median of {first['rounds']} rounds"
    base = LEFT + scale
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 24}" viewBox="0 0 {WIDTH} {y + 24}" '
        'role="img" aria-label="What a server spends per operation, times nginx; less is better">', STYLE,
        f'<text x="{LEFT}" y="18">CPU time per operation, times nginx (less is better)</text>', *legend,
        f'<line class="line" x1="{base:.1f}" y1="50" x2="{base:.1f}" y2="{y - GAP + 4}" stroke-dasharray="3 3"/>', *out,
        f'<text class="small" x="{LEFT}" y="{y + 12}">{escape(note)}</text>', "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results")
    parser.add_argument("--svg")
    given = parser.parse_args()
    lines = summary(read(given.results))
    if given.svg:
        pathlib.Path(given.svg).write_text(chart(lines))
    else:
        print(table(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
