"""Medians, spreads, targets; the tables and the chart that show them."""

import json
import os
import re
import statistics

import breakdown
import scenarios
from hops import ROOT

FOLDER = os.path.join(ROOT, "Benchmarks")
COLUMNS = ("Martlet", "haproxy", "nginx", "Envoy", "floor", "floor, splice")
UNITS = {
    "cpu": "CPU µs per request", "per_gib": "CPU ms per GiB", "rss_mib": "MiB", "ready_ms": "ms", "kib": "KiB",
    "kib_per_cluster": "KiB per cluster", "p50_added": "µs added at p50", "p90_added": "µs added at p90",
    "anonymous_mib": "MiB anonymous"}
COLOURS = {"Martlet": "#d9541e", "haproxy": "#5b84b1", "nginx": "#5f9e6e", "Envoy": "#8d7ab5", "floor": "#b5b5b5"}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"model name\s*:\s*(.*)", file.read())
    return f"{found[1].strip() if found else os.uname().machine}, {os.cpu_count()} processors, Linux {os.uname().release}"


# -- figures ---------------------------------------------------------------------------------------------------------

def finish(outcome):
    """Adds medians and spreads to every proxy of every cell, and what became of the targets."""
    for cell in outcome["cells"].values():
        for proxy in cell["proxies"].values():
            proxy["figures"] = {
                name: {"median": statistics.median(values), "low": min(values), "high": max(values)}
                for name, values in proxy.get("rounds", {}).items()}
    outcome["cells"] = {one.key: outcome["cells"][one.key] for one in scenarios.CELLS if one.key in outcome["cells"]}
    for described in scenarios.CELLS:
        cell = outcome["cells"].get(described.key)
        if cell:
            cell["unit"] = UNITS[described.metric]
            cell["metric"] = described.metric
            cell["targets"] = [judge(outcome, described, target) for target in described.targets]
    return outcome


def median(cell, proxy, metric):
    return cell["proxies"].get(proxy, {}).get("figures", {}).get(metric, {}).get("median")


def judge(outcome, described, target):
    """The ratio (or, for an absolute limit, the figure) and whether it is within the limit; None where it cannot be said."""
    cell = outcome["cells"][described.key]
    metric = "per_gib" if described.metric == "per_gib" else target.metric
    verdict = {"limit": target.limit, "against": target.against, "metric": metric, "value": None, "met": None}
    own = median(cell, "Martlet", metric)
    if own is None:
        return verdict
    if target.against == "":
        verdict["value"] = own
    elif target.against.startswith("="):
        other = outcome["cells"].get(target.against[1:])
        reference = other and median(other, "Martlet", metric)
        if reference:
            pairs = zip(rounds(cell, "Martlet", metric), rounds(other, "Martlet", metric))
            verdict["value"] = statistics.median(mine / theirs for mine, theirs in pairs)
    else:
        names = {"best": ("haproxy", "nginx"), "peers": ("haproxy", "nginx", "Envoy")}.get(target.against, (target.against,))
        known = {name: median(cell, name, metric) for name in names if median(cell, name, metric)}
        if known:
            verdict["reference"] = min(known, key=known.get)
            # What is added is a difference, near nothing in a lucky round: then only the medians make a ratio.
            pairs = [(own, max(0.1, known[verdict["reference"]]))] if metric.endswith("_added") else zip(
                rounds(cell, "Martlet", metric), rounds(cell, verdict["reference"], metric))
            verdict["value"] = statistics.median(mine / theirs for mine, theirs in pairs)
    # Not judged while something of what is to be measured is missing.
    if verdict["value"] is not None and not cell.get("lacks"):
        verdict["met"] = verdict["value"] <= target.limit
    return verdict


def rounds(cell, proxy, metric):
    return cell["proxies"][proxy]["rounds"][metric]


# -- words -----------------------------------------------------------------------------------------------------------

def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def shown(cell, proxy):
    entry = cell["proxies"].get(proxy)
    if not entry:
        return "–"
    if "not_yet" in entry:
        return "not yet"
    value = entry["figures"].get(cell["metric"], {}).get("median")
    return "failed" if value is None else number(value)


def verdict_words(verdict, with_metric):
    limit = f"{verdict['limit']:g}" if verdict["against"] == "" else f"{verdict['limit']:.2f}"
    against = {"": "", "best": f" × {verdict.get('reference', 'best peer')}", "peers": f" × {verdict.get('reference', 'peers')}"}.get(
        verdict["against"], f" × {verdict['against'].lstrip('=')}")
    kind = f" {UNITS[verdict['metric']]}" if with_metric else ""
    text = f"≤ {limit}{against}{kind}"
    if verdict["value"] is None:
        return text + ": not measured"
    value = number(verdict["value"]) if verdict["against"] == "" else f"{verdict['value']:.2f}"
    if verdict["met"] is None:
        return text + f": {value} so far"
    return text + (f": {value}, met" if verdict["met"] else f": **{value}, not met**")


def targets_words(cell):
    verdicts = cell.get("targets", [])
    text = "; ".join(verdict_words(one, one["metric"] != cell["metric"]) for one in verdicts)
    if cell.get("lacks"):
        text += f"; not yet: {', '.join(cell['lacks'])}"
    return text


def rows(outcome):
    """One row per cell: key, what it is, unit, the figure of each proxy, targets."""
    for key, cell in outcome["cells"].items():
        yield [key, cell["title"], cell["unit"], *(shown(cell, proxy) for proxy in columns(outcome)), targets_words(cell)]


def columns(outcome):
    return [name for name in COLUMNS if any(name in cell["proxies"] for cell in outcome["cells"].values())]


def text_table(outcome):
    table = [["", "scenario", "unit", *columns(outcome), "target"], *rows(outcome)]
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]

    def line(row):
        return "  ".join(
            cell.rjust(widths[index]) if 3 <= index < len(row) - 1 else cell.ljust(widths[index])
            for index, cell in enumerate(row)).rstrip()
    return "\n".join([line(table[0]), "-" * min(200, sum(widths) + 2 * len(widths)), *map(line, table[1:])])


def markdown_table(header, aligned, lines):
    return "\n".join(["| " + " | ".join(header) + " |", "|" + "|".join(aligned) + "|",
                      *("| " + " | ".join(line) + " |" for line in lines)])


def summary(outcome):
    """What stands in README.md."""
    names = columns(outcome)
    body = markdown_table(
        ["", "scenario", "unit", *names, "target for Martlet"], ["---", "---", "---", *["---:"] * len(names), "---"], rows(outcome))
    verdicts = [one for cell in outcome["cells"].values() for one in cell.get("targets", [])]
    met = sum(one["met"] is True for one in verdicts)
    versions = ", ".join(f"{name} {version}" for name, version in outcome["versions"].items() if name != "Martlet")
    return (
        f"![CPU time per request beside the peers](Benchmarks/chart.svg)\n\n{body}\n\n"
        f"{met} of {len(verdicts)} targets are met. Medians of {outcome['rounds']} rounds in alternation; the proxies have one "
        f"processor, load and origin another. CPU time is user and system time of all of a proxy's threads, of both proxies in a "
        f"pair. All do the same work (request id, traceparent, retry policy, limits, a rate limit that does not bite; no log); "
        f"*floor* is a forwarder in C that does none of it. Spreads, latencies, system calls and instructions are in "
        f"[Benchmarks/RESULTS.md](Benchmarks/RESULTS.md), where the instructions go in "
        f"[Benchmarks/BREAKDOWN.md](Benchmarks/BREAKDOWN.md). {versions}; {outcome['machine']}.")


def document(outcome):
    """Benchmarks/RESULTS.md: everything that was measured."""
    text = ["# What was measured", "", f"`make bench` writes this page. {outcome['date']}; {outcome['machine']}; "
            + ", ".join(f"{name} {version}" for name, version in outcome["versions"].items()) + ".",
            f"Medians of {outcome['rounds']} rounds of {outcome['seconds']:g} s, in brackets the lowest and the highest."]
    for key, cell in outcome["cells"].items():
        metrics = []
        for proxy in cell["proxies"].values():
            metrics += [name for name in proxy["figures"] if name not in metrics]
        counted = [name for name in ("system_calls", "instructions") if any(name in one for one in cell["proxies"].values())]
        text += ["", f"## {key}: {cell['title']}", ""]
        lines = []
        for name, proxy in cell["proxies"].items():
            if "not_yet" in proxy or "failed" in proxy:
                reason = proxy.get("failed") or f"not yet: {proxy['not_yet']}"
                lines.append([name, " ".join(reason.split()), *[""] * (len(metrics) + len(counted) - 1)])
                continue
            lines.append([name, *(spread(proxy["figures"].get(metric)) for metric in metrics),
                          *(number(proxy.get(metric)) for metric in counted)])
        header = ["", *(metric.replace("_", " ") for metric in metrics + counted)]
        text += [markdown_table(header, ["---", *["---:"] * (len(header) - 1)], lines)]
        if targets_words(cell):
            text += ["", "Target: " + targets_words(cell) + "."]
    return "\n".join(text) + "\n"


def spread(figure):
    if figure is None:
        return "–"
    return f"{number(figure['median'])} ({number(figure['low'])}–{number(figure['high'])})"


# -- the chart -------------------------------------------------------------------------------------------------------

def chart(outcome):
    """Bars of CPU time per request, each group scaled by its dearest proxy: only ratios within a group mean something."""
    keys = ("S1 64", "S1 1", "S2 16K", "S2 1M", "S3 h1", "S3 h2", "S4 h2", "S5 ping", "S6 full", "S6 resumed")
    groups = []
    for key in keys:
        cell = outcome["cells"].get(key)
        bars = [(name, median(cell, name, "cpu")) for name in COLOURS] if cell else []
        bars = [(name, value) for name, value in bars if value is not None]
        if bars:
            groups.append((cell["title"], bars))
    bar, gap, left, width = 13, 18, 190, 470
    height = 40 + sum(len(bars) * bar + gap + 14 for _, bars in groups)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 110} {height}" font-family="sans-serif" '
           f'font-size="11">', f'<rect width="100%" height="100%" fill="#ffffff"/>',
           '<text x="10" y="20" font-size="14" font-weight="bold">CPU µs per request (shorter is better)</text>']
    top = 36
    for title, bars in groups:
        most = max(value for _, value in bars)
        out.append(f'<text x="10" y="{top + 10}" font-weight="bold">{title}</text>')
        top += 14
        for name, value in bars:
            weight = ' font-weight="bold"' if name == "Martlet" else ""
            out.append(f'<text x="{left - 8}" y="{top + 10}" text-anchor="end"{weight}>{name}</text>')
            out.append(f'<rect x="{left}" y="{top + 1}" width="{value / most * width:.1f}" height="{bar - 2}" fill="{COLOURS[name]}"/>')
            out.append(f'<text x="{left + value / most * width + 5:.1f}" y="{top + 10}"{weight}>{number(value)}</text>')
            top += bar
        top += gap
    return "\n".join(out + ["</svg>"]) + "\n"


# -- files -----------------------------------------------------------------------------------------------------------

def write_all(outcome, is_whole):
    """Every run leaves its JSON in bench-results; a whole one also renews what is committed."""
    history = os.path.join(ROOT, "bench-results")
    os.makedirs(history, exist_ok=True)
    written = [write(os.path.join(history, outcome["date"].replace(":", "") + ".json"), json.dumps(outcome, indent=1))]
    if not is_whole:
        return written
    written.append(write(os.path.join(FOLDER, "results.json"), json.dumps(outcome, indent=1) + "\n"))
    written.append(write(os.path.join(FOLDER, "RESULTS.md"), document(outcome)))
    written.append(write(os.path.join(FOLDER, "chart.svg"), chart(outcome)))
    parts = breakdown.document(outcome)
    if parts:
        written.append(write(os.path.join(FOLDER, "BREAKDOWN.md"), parts))
    readme = os.path.join(ROOT, "README.md")
    with open(readme, encoding="utf-8") as file:
        before = file.read()
    after = re.sub(r"(<!-- bench: begin -->\n).*?(<!-- bench: end -->)",
                   lambda found: found[1] + summary(outcome) + "\n" + found[2], before, flags=re.DOTALL)
    written.append(write(readme, after))
    return written


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
