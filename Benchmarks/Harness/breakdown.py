"""Where a request's instructions go: by category, and the dearest functions."""

import counting

ORDER = ("parse", "route", "policy", "build", "telemetry", "exchange", "event loop", "buffers", "copy", "allocation",
         "reference counts", "system calls", "HTTP/2", "TLS", "other")
TOP = 15


def summary(profile):
    shares = profile.categories()
    dearest = sorted(profile.cost.items(), key=lambda item: -item[1])[:TOP]
    words = counting.demangle([function for (function, _), _ in dearest])
    return {
        "total": round(profile.total),
        "categories": {name: round(shares[name]) for name in ORDER if round(shares[name])},
        "allocations": profile.allocations,
        "functions": [[words[function][:110], library, round(cost)] for (function, library), cost in dearest]}


def document(outcome):
    cells = {key: cell for key, cell in outcome["cells"].items() if "breakdown" in cell}
    if not cells:
        return None
    used = [name for name in ORDER if any(name in cell["breakdown"]["categories"] for cell in cells.values())]
    lines = [
        "# Where a request's instructions go", "",
        "`make bench` writes this page. User instructions of the proxy (of both in a pair) per request, under callgrind; a",
        "function counts for the category that its name or library fits (`Benchmarks/Harness/counting.py`), and what the",
        "compiler has inlined counts for the function around it. System calls are the wrappers only: their work is the",
        "kernel's, most of the time of a request, and is not in here.", "",
        f"{outcome['machine']}; {outcome['date'][:10]}", "",
        "| category | " + " | ".join(cell["title"] for cell in cells.values()) + " |",
        "|---|" + "---:|" * len(cells)]
    for name in used:
        lines.append(f"| {name} | " + " | ".join(
            f"{cell['breakdown']['categories'].get(name, 0):,}" for cell in cells.values()) + " |")
    lines.append("| **all** | " + " | ".join(f"**{cell['breakdown']['total']:,}**" for cell in cells.values()) + " |")
    for kind in ("malloc", "swift_allocObject"):
        lines.append(f"| calls of `{kind}` | " + " | ".join(
            f"{cell['breakdown']['allocations'].get(kind, 0):.2f}" for cell in cells.values()) + " |")
    lines += routes_table(outcome) + extras_table(outcome)
    for key, cell in cells.items():
        lines += ["", f"## {key}: {cell['title']}", "", "| instructions | function |", "|---:|---|"]
        lines += [f"| {cost:,} | `{function}` ({library}) |" for function, library, cost in cell["breakdown"]["functions"]]
    return "\n".join(lines) + "\n"


def routes_table(outcome):
    found = next((cell["routes"] for cell in outcome["cells"].values() if cell.get("routes")), None)
    if not found:
        return []
    amounts = list(found["paths"])
    lines = ["", "## Finding a route among many", "",
             "Instructions of finding the route, and of the whole request: the last of many routes by path, and one of many",
             "virtual hosts.", "", "| routes | " + " | ".join(f"{int(amount):,}" for amount in amounts) + " |",
             "|---|" + "---:|" * len(amounts)]
    for kind in ("paths", "hosts"):
        for what, words in (("route", "finding it"), ("all", "all")):
            lines.append(f"| by {kind[:-1]}, {words} | " + " | ".join(f"{found[kind][one][what]:,}" for one in amounts) + " |")
    return lines


def extras_table(outcome):
    found = next((cell["extras"] for cell in outcome["cells"].values() if cell.get("extras")), None)
    if not found:
        return []
    lines = ["", "## What each policy adds", "",
             "Instructions per request over S1, which has request id, trace context, retry policy, limits and a rate limit;",
             "each policy by itself, and all of them on one route. None of them finds anything to do.", "",
             "| | instructions | added | allocations |", "|---|---:|---:|---:|"]
    for name, one in found.items():
        lines.append(f"| {name} | {one['all']:,} | {one['all'] - found['none']['all']:+,} "
                     f"| {sum(one['allocations'].values()):.2f} |")
    return lines
