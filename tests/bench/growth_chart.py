"""Results of growth.py as a table and as a chart: small panels, one for each thing that grows, both axes logarithmic.
The same results make the same bytes. Readable on light and on dark pages."""
import json
import math
import pathlib
from xml.sax.saxutils import escape

from bench_report import STYLE

TITLES = {"hostnames": "hostnames", "policies": "policies of an application", "rules": "rules of a policy",
          "applications": "applications of a hostname", "crl": "entries of the revocation list",
          "connections": "connections held"}
NAMES = {"find_hostname": "find the hostname", "judge": "judge a request", "log_line": "write the log line",
         "crl_lookup": "look a serial number up", "verify_chain": "verify a certificate", "request": "a whole request (CPU)"}
COLORS = ["#2f7fd1", "#b08d57", "#5a9e6f"]
WIDTH, HEIGHT, COLUMNS, LEFT, BOTTOM, TOP = 380, 200, 2, 56, 34, 44


def read(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines() if line]


def series(lines):
    """{kind: {operation: [(size, ns)]}}"""
    out = {}
    for line in lines:
        out.setdefault(line["kind"], {}).setdefault(line["operation"], []).append((line["size"], line["ns"]))
    return out


def short(number):
    for unit, size in (("M", 1_000_000), ("k", 1000)):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def time_text(ns):
    if ns >= 1_000_000:
        return f"{ns / 1_000_000:.3g} ms"
    return f"{ns / 1000:.3g} µs" if ns >= 1000 else f"{ns:.3g} ns"


def table(lines):
    out = []
    for kind, operations in series(lines).items():
        sizes = sorted({size for points in operations.values() for size, _ in points})
        out.append(f"\n| {TITLES[kind]} | " + " | ".join(f"{size:,}" for size in sizes) + " |")
        out.append("|---|" + "---|" * len(sizes))
        for operation, points in operations.items():
            cells = dict(points)
            out.append(f"| {NAMES[operation]} | "
                       + " | ".join(time_text(cells[size]) if size in cells else "" for size in sizes) + " |")
    return "\n".join(out)


def panel(kind, operations, x0, y0):
    sizes = sorted({size for points in operations.values() for size, _ in points})
    values = [ns for points in operations.values() for _, ns in points]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 0.01)
    high = max(high, low + 2)
    last = math.log10(max(sizes[-1], 10))
    right = WIDTH - 20

    def x(size):
        return x0 + LEFT + math.log10(max(size, 1)) / last * (right - LEFT)

    def y(ns):
        return y0 + HEIGHT - BOTTOM - (math.log10(ns) - low) / (high - low) * (HEIGHT - BOTTOM - TOP)
    out = [f'<text x="{x0 + LEFT}" y="{y0 + 16}">{escape(TITLES[kind])}</text>']
    for power in range(low, high + 1):
        out.append(f'<line class="line" x1="{x0 + LEFT}" x2="{x0 + right}" y1="{y(10 ** power):.1f}" y2="{y(10 ** power):.1f}"/>'
                   f'<text class="small" x="{x0 + LEFT - 6}" y="{y(10 ** power) + 4:.1f}" text-anchor="end">'
                   f'{time_text(10 ** power)}</text>')
    for size in sizes:
        out.append(f'<text class="small" x="{x(size):.1f}" y="{y0 + HEIGHT - BOTTOM + 16}" text-anchor="middle">'
                   f'{short(size)}</text>')
    at = x0 + LEFT
    for color, (operation, points) in zip(COLORS, operations.items()):
        path = " ".join(f"{x(size):.1f},{y(ns):.1f}" for size, ns in sorted(points))
        out.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        out += [f'<circle cx="{x(size):.1f}" cy="{y(ns):.1f}" r="3" fill="{color}"><title>{short(size)}: {time_text(ns)}'
                '</title></circle>' for size, ns in sorted(points)]
        name = NAMES[operation]
        out.append(f'<rect x="{at}" y="{y0 + 24}" width="10" height="10" rx="2" fill="{color}"/>'
                   f'<text class="small" x="{at + 14}" y="{y0 + 33}">{escape(name)}</text>')
        at += 24 + 6 * len(name)
    return out


def chart(lines):
    panels = series(lines)
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = WIDTH * COLUMNS, HEIGHT * rows + 24
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
           'role="img" aria-label="Cost of an operation against how much is configured">', STYLE]
    for i, (kind, operations) in enumerate(panels.items()):
        out += panel(kind, operations, i % COLUMNS * WIDTH, i // COLUMNS * HEIGHT)
    first = lines[0]
    out.append(f'<text class="small" x="{LEFT}" y="{height - 8}">{escape(first["date"])}, {escape(first["system"])}, '
               f'{escape(first["cpu"])}; both axes logarithmic</text>')
    return "\n".join([*out, "</svg>", ""])
