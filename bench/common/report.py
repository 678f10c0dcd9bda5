# SPDX-License-Identifier: LGPL-2.1-or-later
"""Results: numbers side by side for a person, the same as JSON for a program."""
import json
import statistics


def summary(values):
    """Median, least and most; of nothing, nothing."""
    values = [value for value in values if value is not None]
    if not values:
        return {"n": 0, "median": None, "min": None, "max": None}
    return {"n": len(values), "median": statistics.median(values), "min": min(values),
            "max": max(values)}


def row(what, unit, values):
    return dict(summary(values), what=what, unit=unit, values=values)


def ratio(what, above, below):
    """The ratio of two rows' medians, or None where one is missing or zero."""
    value = above["median"] / below["median"] if above["median"] and below["median"] else None
    return {"what": what, "ratio": value}


def number(value):
    if value is None:
        return "-"
    if abs(value) >= 100:
        return "%.0f" % value
    return "%.1f" % value if abs(value) >= 10 else "%.3g" % value


def table(columns, lines):
    """Aligned text: words and the first column to the left, numbers to the right."""
    cells = [columns] + [[cell if isinstance(cell, str) else number(cell) for cell in line]
                         for line in lines]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    right = [i > 0 and all(line[i][0] in "-0123456789" for line in cells[1:] if line[i])
             for i in range(len(columns))]
    out = []
    for line in cells:
        out.append("  ".join(cell.rjust(width) if to_right else cell.ljust(width)
                             for cell, width, to_right in zip(line, widths, right)).rstrip())
    return "\n".join(out)


def rows_table(rows):
    return table(["WHAT", "RUNS", "MEDIAN", "MIN", "MAX", "UNIT"],
                 [[r["what"], "%d" % r["n"], r["median"], r["min"], r["max"], r["unit"]]
                  for r in rows])


def header(result):
    machine = result["machine"]
    lines = ["%s: %s" % (result["bench"], result["command"]),
             "machine: %d cores (%s), %d MiB, Linux %s; %s (%s, %s)" % (
                 machine["cores"], machine["cpu"], machine["memory_mib"], machine["kernel"],
                 machine["godwit"], machine["commit"], machine["buildtype"])]
    if machine.get("hosts"):
        lines.append("hosts: " + machine["hosts"])
    lines.append("load: %.1f before, %.1f after; busy before: %.0f %% of the cores" % (
        result["load_before"], result["load_after"], result["busy_before"] * 100))
    return lines


def print_text(result):
    print("\n".join(header(result)))
    for name, text in result.get("tables", {}).items():
        print("\n%s\n%s" % (name, text))
    if result.get("rows"):
        print("\n" + rows_table(result["rows"]))
    if result.get("ratios"):
        print("\n" + table(["RATIO OF MEDIANS", ""], [[r["what"], r["ratio"]]
                                                      for r in result["ratios"]]))
    for note in result.get("notes", []):
        print("note: " + note)


def print_json(result):
    shown = {key: value for key, value in result.items() if key != "tables"}
    print(json.dumps(shown, indent=2))
