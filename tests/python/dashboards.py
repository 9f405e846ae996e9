"""Looks after what Grafana is given in compose/grafana, without Grafana.

`check` reads the files as Grafana would; `types` writes them as TypeScript, for the compiler and Grafana's published types;
`query` runs every query against an InfluxDB and expects data.
"""

import argparse
import base64
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

GRAFANA = Path(__file__).resolve().parents[2] / "compose" / "grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))
DATA_SOURCES = [GRAFANA / "provisioning/datasources/influxdb.yaml", GRAFANA / "influxdb-1.yaml"]

# What Grafana 12 reads from a provisioning file: pkg/services/provisioning/*/types.go. It ignores other keys silently.
SOURCE_KEYS = set(
    "orgId orgName version name type access url user database basicAuth basicAuthUser withCredentials isDefault"
    " correlations jsonData secureJsonData editable uid".split()
)
PROVIDER_KEYS = set(
    "name type orgId folder folderUid editable options disableDeletion updateIntervalSeconds allowUiUpdates".split()
)
INFLUXDB_JSON_KEYS = set("dbName httpMode httpHeaderName1 timeInterval version tlsAuthWithCACert".split())
# The panels that are used here, and where their options are described in @grafana/schema.
PANEL_TYPES = {"timeseries": "TimeSeries", "stat": "Stat", "table": "Table"}


def boards():
    """The dashboards, by file name."""
    return {path.name: json.loads(path.read_text()) for path in DASHBOARDS}


def check():
    """Finds what Grafana would stumble over, or drop without a word."""
    import yaml  # docker-compose brings it.

    uids = set()
    for path in DATA_SOURCES:
        found = yaml.safe_load(path.read_text())
        assert found["apiVersion"] == 1 and set(found) <= {"apiVersion", "prune", "datasources"}, path
        names = set()
        for source in found["datasources"]:
            assert set(source) <= SOURCE_KEYS, f"{path}: {set(source) - SOURCE_KEYS}"
            assert set(source["jsonData"]) <= INFLUXDB_JSON_KEYS, path
            assert source["type"] == "influxdb" and source["access"] == "proxy" and not source["editable"], path
            for secret in source["secureJsonData"].values():
                assert re.fullmatch(r"(Token )?\$__file\{/run/secrets/[a-z-]+\}", secret), f"{path}: a secret in the file"
            names.add(source["uid"])
        assert not uids or uids == names, "the dashboards must find their data sources with every InfluxDB"
        uids = names

    found = yaml.safe_load((GRAFANA / "provisioning/dashboards/gaugeline.yaml").read_text())
    assert found["apiVersion"] == 1
    for provider in found["providers"]:
        assert set(provider) <= PROVIDER_KEYS, set(provider) - PROVIDER_KEYS

    titles = set()
    for name, board in boards().items():
        assert board["id"] is None and board["uid"] and board["title"] not in titles, name
        titles.add(board["title"])
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids)), f"{name}: two panels have one id"
        known = {variable["name"] for variable in board["templating"]["list"]} | {"timeFilter", "__interval"}
        for panel in board["panels"]:
            title = f"{name}: {panel['title']}"
            place = panel["gridPos"]
            assert place["x"] + place["w"] <= 24, f"{title}: too wide"
            for target in panel.get("targets", []):
                assert target["datasource"]["uid"] in uids, title
                used = set(re.findall(r"\$(\w+)", target["query"]))
                assert used <= known, f"{title}: unknown variables {used - known}"
                assert "$timeFilter" in target["query"], f"{title}: all times"
        for variable in board["templating"]["list"]:
            assert variable["datasource"]["uid"] in uids, name
        text = json.dumps(board)
        # InfluxDB 3.6 answers neither; and these files are not imported by hand.
        for word in ["SHOW DATABASES", "SHOW RETENTION POLICIES", "${DS_", "__inputs"]:
            assert word not in text, f"{name}: {word}"
    print(f"{len(DATA_SOURCES)} files of data sources and {len(titles)} dashboards are as Grafana reads them")


def types(directory):
    """Writes a TypeScript file for each dashboard: it compiles if the dashboard has Grafana's types.

    Its types of panels are no part of what the package exports, so they are looked for where npm has put it."""
    parts = "./node_modules/@grafana/schema/dist/esm/raw/composable/{}/panelcfg/x/{}PanelCfg_types.gen"
    for name, board in boards().items():
        lines = ["import type { Dashboard } from '@grafana/schema';"]
        for panel_type, title in PANEL_TYPES.items():
            lines.append(f"import type * as {panel_type} from '{parts.format(panel_type, title)}';")
        # JSON has the values of enumerations, not their names.
        lines += [
            "type Json<T> = T extends string ? `${T}` : T extends (infer U)[] ? Json<U>[]",
            "    : T extends object ? { [K in keyof T]: Json<T[K]> } : T;",
            f"export const dashboard: Json<Dashboard> = {json.dumps(board, indent=1)};",
        ]
        for panel in board["panels"]:
            if panel["type"] == "row":
                continue
            kind, number = panel["type"], panel["id"]
            assert kind in PANEL_TYPES, f"{name}: no types are known for {kind}"
            lines.append(f"export const o{number}: Json<Partial<{kind}.Options>> = {json.dumps(panel['options'])};")
            custom = panel["fieldConfig"]["defaults"].get("custom")
            if custom:
                lines.append(f"export const c{number}: Json<Partial<{kind}.FieldConfig>> = {json.dumps(custom)};")
        (Path(directory) / f"{name}.ts").write_text("\n".join(lines) + "\n")


class Database:
    """One InfluxDB, asked as Grafana asks it."""

    def __init__(self, url, user, password):
        self.url = url
        self.authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def ask(self, database, query):
        """The series of the answer."""
        body = urllib.parse.urlencode({"db": database, "q": query, "epoch": "ms"}).encode()
        headers = {"Authorization": self.authorization} if self.authorization else {}
        request = urllib.request.Request(f"{self.url}/query", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                answer = json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code} {error.read().decode()}: {query}") from None
        series = []
        for result in answer["results"]:
            assert "error" not in result, f"{result['error']}: {query}"
            series += result.get("series", [])
        return series


def values_of(database, variable, known):
    """What a query variable offers: the last column, as Grafana reads SHOW statements."""
    series = database.ask(variable["datasource"]["uid"], substitute(variable["query"], known))
    column = 0 if variable["query"].startswith(("SHOW MEASUREMENTS", "SHOW FIELD KEYS")) else 1
    return [row[column] for one in series for row in one["values"]]


def substitute(query, known):
    """The query that Grafana would send for the last hour."""
    query = query.replace("$timeFilter", "time >= now() - 1h and time <= now()").replace("$__interval", "10s")
    return re.sub(r"\$(\w+)", lambda found: known[found[1]], query)


def has_data(series):
    """Whether any row has more than a time."""
    for one in series:
        first = 1 if one["columns"][0] == "time" else 0
        for row in one["values"]:
            if any(value is not None for value in row[first:]):
                return True
    return False


def query(arguments):
    """Runs every query of every panel; says which have no data."""
    chosen = dict(pair.split("=", 1) for pair in arguments.set)
    password = Path(arguments.password_file).read_text().strip()
    database = Database(arguments.url, arguments.user, password)
    empty, count = [], 0
    for name, board in boards().items():
        known = {}
        for variable in board["templating"]["list"]:
            offered = values_of(database, variable, known)
            assert offered, f"{name}: the variable {variable['name']} has nothing to choose from"
            if variable["name"] in chosen:
                assert chosen[variable["name"]] in offered, f"{name}: {variable['name']}: only {offered}"
            known[variable["name"]] = chosen.get(variable["name"], variable.get("allValue", offered[0]))
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                count += 1
                text = substitute(target["query"], known)
                if not has_data(database.ask(target["datasource"]["uid"], text)):
                    empty.append(f"{board['title']}: {panel['title']} ({target['refId']}): {text}")
    print("\n".join([f"{count} queries, {len(empty)} without data"] + empty))
    return 1 if empty else 0


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check")
    commands.add_parser("types").add_argument("directory")
    asking = commands.add_parser("query")
    asking.add_argument("url")
    asking.add_argument("--user", required=True)
    asking.add_argument("--password-file", required=True)
    asking.add_argument("--set", action="append", default=[], metavar="VARIABLE=VALUE")
    arguments = parser.parse_args()
    if arguments.command == "check":
        return check()
    if arguments.command == "types":
        return types(arguments.directory)
    return query(arguments)


if __name__ == "__main__":
    sys.exit(main())
