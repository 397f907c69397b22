/*
 * clock: wall and monotonic time, and RFC 3339 text. Calendar arithmetic is our own (proleptic Gregorian, UTC), so
 * that no time zone and no libc limit plays a part.
 */
#include "base/clock.h"

#include <stdio.h>

#define YEAR_0 INT64_C(-62167219200)    /* 0000-01-01T00:00:00Z */
#define YEAR_9999 INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define DAY INT64_C(86400)
#define ERA_DAYS 146097   /* 400 years */
#define EPOCH_DAYS 719468 /* from 0000-03-01 to 1970-01-01 */

static int64_t now_us(clockid_t clock) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_us(void) { return now_us(CLOCK_MONOTONIC); }

int64_t clock_wall_us(void) { return now_us(CLOCK_REALTIME); }

time_t clock_wall(void) { return time(NULL); }

struct civil {
    int year, month, day, hour, minute, second;
};

/* Years are counted from March, so that the leap day is a year's last; see "chrono-compatible low-level date
 * algorithms", H. Hinnant. */
static int64_t civil_to_unix(const struct civil *c) {
    int64_t year = c->month <= 2 ? c->year - 1 : c->year;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (c->month + (c->month > 2 ? -3 : 9)) + 2) / 5 + c->day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    int64_t days = era * ERA_DAYS + day_of_era - EPOCH_DAYS;
    return days * DAY + c->hour * 3600 + c->minute * 60 + c->second;
}

static struct civil civil_from_unix(int64_t t) {
    int64_t seconds = ((t % DAY) + DAY) % DAY;
    int64_t days = (t - seconds) / DAY + EPOCH_DAYS;
    int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS;
    int64_t day_of_era = days - era * ERA_DAYS;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;
    int64_t month = from_march < 10 ? from_march + 3 : from_march - 9;
    return (struct civil){
        .year = (int)(year_of_era + era * 400 + (month <= 2)),
        .month = (int)month,
        .day = (int)(day_of_year - (153 * from_march + 2) / 5 + 1),
        .hour = (int)(seconds / 3600),
        .minute = (int)(seconds / 60 % 60),
        .second = (int)(seconds % 60),
    };
}

const char *clock_format(time_t t, char out[CLOCK_TEXT_SIZE]) {
    int64_t clamped = t < YEAR_0 ? YEAR_0 : t > YEAR_9999 ? YEAR_9999 : (int64_t)t;
    struct civil c = civil_from_unix(clamped);
    snprintf(out, CLOCK_TEXT_SIZE, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)c.year % 10000, (unsigned)c.month % 100,
             (unsigned)c.day % 100, (unsigned)c.hour % 100, (unsigned)c.minute % 100, (unsigned)c.second % 100);
    return out;
}

const char *clock_format_ms(int64_t wall_us, char out[CLOCK_TEXT_SIZE]) {
    static _Thread_local int64_t cached_second = INT64_MIN;
    static _Thread_local char cached[CLOCK_TEXT_SIZE];
    int64_t second = wall_us / 1000000, ms = wall_us / 1000 % 1000;
    if (ms < 0) {
        second--;
        ms += 1000;
    }
    if (second != cached_second) {
        clock_format((time_t)second, cached);
        cached_second = second;
    }
    memcpy(out, cached, 19);
    out[19] = '.';
    out[20] = (char)('0' + ms / 100);
    out[21] = (char)('0' + ms / 10 % 10);
    out[22] = (char)('0' + ms % 10);
    memcpy(out + 23, "Z", 2);
    return out;
}

/* Takes exactly `count` digits, then the character `after` (NUL: none), off the front of *text. */
static bool take_number(struct slice *text, size_t count, char after, int *number_out) {
    unsigned long long number;
    if (!slice_to_u64(slice_first(*text, count), &number) || text->len < count + (after ? 1 : 0))
        return false;
    if (after && ascii_lower(text->ptr[count]) != ascii_lower(after))
        return false;
    *text = slice_after(*text, count + (after ? 1 : 0));
    *number_out = (int)number;
    return true;
}

static int days_in_month(int year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* "Z" or "+hh:mm"; the rest of the text. */
static bool parse_offset(struct slice text, int *seconds_out) {
    if (slice_eq_nocase(text, SLICE("Z"))) {
        *seconds_out = 0;
        return true;
    }
    if (text.len != 6 || (text.ptr[0] != '+' && text.ptr[0] != '-'))
        return false;
    int sign = text.ptr[0] == '-' ? -1 : 1, hours, minutes;
    text = slice_after(text, 1);
    if (!take_number(&text, 2, ':', &hours) || !take_number(&text, 2, '\0', &minutes) || hours > 23 || minutes > 59)
        return false;
    *seconds_out = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool skip_fraction(struct slice *text) {
    if (text->len == 0 || text->ptr[0] != '.')
        return true;
    size_t digits = 0;
    while (1 + digits < text->len && text->ptr[1 + digits] >= '0' && text->ptr[1 + digits] <= '9')
        digits++;
    *text = slice_after(*text, 1 + digits);
    return digits > 0;
}

bool clock_parse(struct slice text, time_t *time_out) {
    unsigned long long seconds;
    if (slice_to_u64(text, &seconds)) {
        *time_out = (time_t)seconds;
        return true;
    }
    struct civil c;
    int offset;
    if (!take_number(&text, 4, '-', &c.year) || !take_number(&text, 2, '-', &c.month) ||
        !take_number(&text, 2, 'T', &c.day) || !take_number(&text, 2, ':', &c.hour) ||
        !take_number(&text, 2, ':', &c.minute) || !take_number(&text, 2, '\0', &c.second) || !skip_fraction(&text) ||
        !parse_offset(text, &offset))
        return false;
    /* A leap second is read as the second after it. */
    if (c.month < 1 || c.month > 12 || c.day < 1 || c.day > days_in_month(c.year, c.month) || c.hour > 23 ||
        c.minute > 59 || c.second > 60)
        return false;
    *time_out = (time_t)(civil_to_unix(&c) - offset);
    return true;
}

const char *clock_format_http(time_t t, char out[CLOCK_TEXT_SIZE]) {
    static const char days[7][4] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"}; /* 1970-01-01 was a Thursday */
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t clamped = t < 0 ? 0 : t > YEAR_9999 ? YEAR_9999 : (int64_t)t;
    struct civil c = civil_from_unix(clamped);
    snprintf(out, CLOCK_TEXT_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[clamped / DAY % 7],
             (unsigned)c.day % 100, months[c.month - 1], (unsigned)c.year % 10000, (unsigned)c.hour % 100,
             (unsigned)c.minute % 100, (unsigned)c.second % 100);
    return out;
}
