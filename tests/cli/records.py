# SPDX-License-Identifier: LGPL-2.1-or-later
"""The field tables of src/model, read from their source, so that the fake controller accepts and
serves exactly the records the real one does."""
import pathlib
import re

MODEL = pathlib.Path(__file__).resolve().parents[2] / "src" / "model"


def _enums(text):
    found = {}
    for name, body in re.findall(r"const GwEnum (\w+) = \{(.*?)\};", text, re.S):
        words = re.findall(r'"([^"]*)"', body)
        found[name] = words[1:]  # the first is the schema's name
    return found


def _fields(body):
    fields = {}
    for row in re.split(r"GW_F\(\s*", body)[1:]:
        match = re.match(r"\w+,\s*(\w+),\s*(GW_\w+)", row)
        of = re.search(r"\.of = &(\w+)_record", row)
        enum = re.search(r"\.of_enum = &(\w+)", row)
        flags = re.search(r"\.flags = ([A-Z_ |]+)", row)
        low = re.search(r"\.min = (-?\d+)", row)
        high = re.search(r"\.max = (\d+)", row)
        fields[match.group(1)] = {
            "kind": match.group(2),
            "of": of and of.group(1),
            "enum": enum and enum.group(1),
            "flags": flags.group(1) if flags else "",
            "min": int(low.group(1)) if low else 0,
            "max": int(high.group(1)) if high else 2**63 - 1,
        }
    return fields


def load():
    records, enums = {}, {}
    for path in sorted(MODEL.glob("*.c")):
        text = path.read_text()
        if path.name == "record.c":
            continue
        enums.update(_enums(text))
        for part in text.split("GW_DEFINE_RECORD(")[1:]:
            head = re.match(r"\s*\w+,\s*(\w+),", part)
            end = re.search(r"\)\);", part)
            records[head.group(1)] = _fields(part[: end.end()])
    return records, enums


RECORDS, ENUMS = load()
assert len(RECORDS) >= 20 and "waiting_for" in RECORDS["gw_job"], "src/model was not understood"


class Wrong(Exception):
    pass


def _check_value(field, name, value, request):
    kind = field["kind"]
    if kind == "GW_STRING" and not isinstance(value, str):
        raise Wrong(f"'{name}' must be a string")
    if kind == "GW_BOOL" and not isinstance(value, bool):
        raise Wrong(f"'{name}' must be true or false")
    if kind == "GW_INT":
        if not isinstance(value, int) or isinstance(value, bool):
            raise Wrong(f"'{name}' must be an integer")
        if not field["min"] <= value <= field["max"]:
            raise Wrong(f"'{name}' is {value}, out of bounds")
    if kind == "GW_ENUM" and value not in ENUMS[field["enum"]]:
        raise Wrong(f"'{name}' is {value!r}, none of {ENUMS[field['enum']]}")
    if kind == "GW_STRINGS" and not all(isinstance(v, str) for v in value):
        raise Wrong(f"'{name}' must be strings")
    if kind == "GW_OBJECT":
        check(field["of"], value, request=request)
    if kind == "GW_ARRAY":
        for item in value:
            check(field["of"], item, request=request)


def check(record, value, request=False, partial=False):
    """Raises Wrong where @value is no @record: as a request's body (strict), or as served."""
    fields = RECORDS[record]
    if not isinstance(value, dict):
        raise Wrong(f"{record} must be an object")
    for name, item in value.items():
        if name not in fields:
            raise Wrong(f"unknown field '{name}' in {record}")
        flags = fields[name]["flags"]
        if "GW_INTERNAL" in flags or (request and "GW_READ_ONLY" in flags):
            raise Wrong(f"'{name}' of {record} cannot be set or served")
        if item is None and partial and fields[name]["kind"] in ("GW_STRING", "GW_OBJECT"):
            continue  # a merge takes it away
        _check_value(fields[name], name, item, request)
    for name, field in fields.items():
        if "GW_REQUIRED" in field["flags"] and name not in value and not partial:
            raise Wrong(f"{record} needs '{name}'")
    return value
