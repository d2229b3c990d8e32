"""Turns Protos/ into the field table, the control plane's messages and docs/ENVOY-COMPATIBILITY.md.

Usage: generate.py [--protoc-gen-swift PATH]    without the plugin the control plane's messages are left alone
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2 as dp
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc

HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = os.path.dirname(HERE)
ROOT = os.path.abspath(os.path.join(SCHEMA, "..", "..", ".."))
PROTOS = os.path.join(SCHEMA, "Protos")
MESSAGES = os.path.join(ROOT, "Sources", "ControlPlane", "XDSMessages", "Generated")
PAGE = os.path.join(ROOT, "docs", "ENVOY-COMPATIBILITY.md")
WELL_KNOWN = [
    "Any", "BoolValue", "BytesValue", "DoubleValue", "Duration", "Empty", "FloatValue", "Int32Value", "Int64Value",
    "ListValue", "StringValue", "Struct", "UInt32Value", "UInt64Value", "Value",
]
F = dp.FieldDescriptorProto
KINDS = [
    F.TYPE_DOUBLE, F.TYPE_FLOAT, F.TYPE_INT64, F.TYPE_UINT64, F.TYPE_INT32, F.TYPE_FIXED64, F.TYPE_FIXED32,
    F.TYPE_BOOL, F.TYPE_STRING, F.TYPE_BYTES, F.TYPE_UINT32, F.TYPE_SFIXED32, F.TYPE_SFIXED64, F.TYPE_SINT32,
    F.TYPE_SINT64, F.TYPE_ENUM, F.TYPE_MESSAGE,
]
KIND_MAP, KIND_OPAQUE = len(KINDS), len(KINDS) + 1
SPECIAL_NAMES = {
    "google.protobuf.Any": "AnyMessage",
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": "UpstreamsHttpProtocolOptions",
    "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": "LocalRateLimit",
    "envoy.extensions.filters.network.local_ratelimit.v3.LocalRateLimit": "ConnectionRateLimit",
    "envoy.extensions.filters.http.ratelimit.v3.RateLimit": "GlobalRateLimit",
    "envoy.config.route.v3.RateLimit": "RateLimit",
}
REPEATED, REFUSED, WITHOUT_EFFECT, PRESENCE, SECRET = 1, 2, 4, 8, 16


def proto_files():
    found = []
    for folder, _, names in os.walk(PROTOS):
        found += [os.path.relpath(os.path.join(folder, name), PROTOS) for name in names if name.endswith(".proto")]
    return sorted(found)


def include_folder():
    import grpc_tools

    return os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")


def describe(temporary):
    target = os.path.join(temporary, "all.pb")
    arguments = ["protoc", "-I", PROTOS, "-I", include_folder(), "--include_imports"]
    if protoc.main(arguments + [f"--descriptor_set_out={target}", f"--python_out={temporary}"] + proto_files()):
        raise SystemExit("protoc refuses our files")
    sys.path.insert(0, temporary)
    from martlet.option.v1 import option_pb2

    files = dp.FileDescriptorSet()
    with open(target, "rb") as data:
        files.ParseFromString(data.read())
    return files, option_pb2


class Model:
    """Messages and enums by full name, with what our options say."""

    def __init__(self, files, option):
        self.option = option
        self.messages, self.enums = {}, {}
        for file in files.file:
            if file.package == "martlet.option.v1":
                continue
            known = file.package == "google.protobuf"
            for message in file.message_type:
                if not known or message.name in WELL_KNOWN:
                    self.add_message(file.package, message)
            for enum in file.enum_type:
                if not known or enum.name == "NullValue":
                    self.enums[f"{file.package}.{enum.name}"] = enum

    def add_message(self, prefix, message):
        name = f"{prefix}.{message.name}"
        self.messages[name] = message
        for nested in message.nested_type:
            self.add_message(name, nested)
        for enum in message.enum_type:
            self.enums[f"{name}.{enum.name}"] = enum

    def support(self, field):
        return field.options.Extensions[self.option.support]

    def is_opaque(self, field):
        return field.options.Extensions[self.option.opaque]


class Table:
    """The blobs of the field table. Numbers are base 64 digits from "0" upwards, most significant first."""

    def __init__(self, model):
        self.model = model
        self.names, self.offsets = "", {}
        self.message_names = sorted(model.messages, key=lambda n: n.encode())
        self.enum_names = sorted(model.enums, key=lambda n: n.encode())
        self.message_index = {name: index for index, name in enumerate(self.message_names)}
        self.enum_index = {name: index for index, name in enumerate(self.enum_names)}
        self.used_enums = set()
        self.messages = self.fields = self.oneofs = self.enums = self.values = ""
        self.build()

    @staticmethod
    def digits(value, count):
        if not 0 <= value < 64**count:
            raise SystemExit(f"{value} does not fit {count} digits of the table")
        return "".join(chr(0x30 + (value >> 6 * place & 63)) for place in reversed(range(count)))

    def name(self, text, length_digits=1):
        if text not in self.offsets:
            found = self.names.find(text)
            self.offsets[text] = found if found >= 0 else len(self.names)
            if found < 0:
                self.names += text
        return self.digits(self.offsets[text], 3) + self.digits(len(text), length_digits)

    def build(self):
        for text in sorted(self.message_names, key=len, reverse=True):
            self.name(text, 2)
        field_count = oneof_count = value_count = 0
        for name in self.message_names:
            message = self.model.messages[name]
            fields = sorted(message.field, key=lambda f: f.number)
            oneofs = [o for o in message.oneof_decl if not o.name.startswith("_")]
            self.messages += (
                self.name(name, 2) + self.digits(field_count, 3) + self.digits(len(fields), 2)
                + self.digits(oneof_count, 2) + self.digits(len(oneofs), 1))
            for oneof in oneofs:
                required = oneof.options.Extensions[self.model.option.one_required]
                self.oneofs += self.name(oneof.name) + self.digits(int(required), 1)
            for field in fields:
                self.fields += self.field(field)
            field_count += len(fields)
            oneof_count += len(oneofs)
        for name in self.enum_names:
            enum = self.model.enums[name]
            self.enums += self.name(name, 2) + self.digits(value_count, 3) + self.digits(len(enum.value), 2)
            for value in enum.value:
                refused = value.options.Extensions[self.model.option.value_support] == self.model.option.REFUSED
                self.values += self.name(value.name) + self.digits(value.number, 3) + self.digits(int(refused), 1)
            value_count += len(enum.value)
        self.counts = (len(self.message_names), field_count, len(self.enum_names), value_count)

    def field(self, field):
        option, kind, target = self.model.option, KINDS.index(field.type), 0
        flags = REPEATED if field.label == F.LABEL_REPEATED else 0
        support = self.model.support(field)
        flags |= REFUSED if support == option.REFUSED else 0
        flags |= WITHOUT_EFFECT if support == option.WITHOUT_EFFECT else 0
        flags |= SECRET if field.options.Extensions[option.secret] else 0
        oneof = 0
        if field.HasField("oneof_index"):
            flags |= PRESENCE
            oneof = 0 if field.proto3_optional else field.oneof_index + 1
        if field.type == F.TYPE_MESSAGE:
            flags |= 0 if flags & REPEATED else PRESENCE
            target = self.message_index[field.type_name[1:]]
            if self.model.messages[field.type_name[1:]].options.map_entry:
                kind = KIND_MAP
        elif field.type == F.TYPE_ENUM:
            target = self.enum_index[field.type_name[1:]]
        if self.model.is_opaque(field):
            kind = KIND_OPAQUE
        return (
            self.name(field.name) + self.digits(field.number, 3) + self.digits(kind, 1) + self.digits(flags, 1)
            + self.digits(target, 2) + self.digits(oneof, 1) + self.name(self.rule(field)))

    def rule(self, field):
        """`r` required · `lA-B` length · `iA-B` items · `nA:B` number · `h` `v` header name, value · `p…` prefix;
        what follows `e` is for each element."""
        return rule_code(field.options.Extensions[self.model.option.rule], self.model.option)


def rule_code(rule, option):
    parts = ["r"] if rule.required else []
    if rule.length_min or rule.length_max:
        parts.append(f"l{rule.length_min}-{rule.length_max or ''}")
    if rule.items_min or rule.items_max:
        parts.append(f"i{rule.items_min}-{rule.items_max or ''}")
    if rule.HasField("min") or rule.HasField("max"):
        low = rule.min if rule.HasField("min") else ""
        high = rule.max if rule.HasField("max") else ""
        parts.append(f"n{low}:{high}")
    if rule.characters == option.Rule.HEADER_NAME:
        parts.append("h")
    if rule.characters == option.Rule.HEADER_VALUE:
        parts.append("v")
    if rule.prefix:
        parts.append("p" + rule.prefix)
    if rule.HasField("each"):
        parts += ["e"] + rule_code(rule.each, option).split(";")
    return ";".join(part for part in parts if part)


def swift_text(name, text):
    lines = [f"    static var {name}: StaticString {{", '#"""']
    for start in range(0, len(text), 100):
        tail = "\\#" if start + 100 < len(text) else ""
        lines.append(text[start : start + 100] + tail)
    return lines + ['"""#', "    }"]


def short_names(names):
    """Swift names of messages: the message's own, with a word of the package before it where two are the same."""
    plain = {}
    for name in names:
        package = [part for part in name.split(".") if part[0].islower()]
        own = "".join(part for part in name.split(".") if not part[0].islower())
        own = {"martlet": "Martlet", "xds": "XDS"}.get(package[0], "") + own
        plain.setdefault(own, []).append((name, package))
    result = {}
    for own, holders in plain.items():
        for name, package in holders:
            words = [word for word in package if not re.fullmatch(r"v\d+", word)]
            prefix = "" if len(holders) == 1 else "".join(part.capitalize() for part in words[-1].split("_"))
            result[name] = SPECIAL_NAMES.get(name, prefix + own)
    if len(set(result.values())) != len(result):
        raise SystemExit("two messages have one Swift name")
    return result


def swift_identifier(name):
    words = name.split("_")
    text = words[0] + "".join(word[:1].upper() + word[1:] for word in words[1:])
    reserved = ("case", "default", "extension", "filter", "prefix", "type", "match", "operator", "protocol")
    return f"`{text}`" if text in reserved else text


def write_table(table):
    counts = "%d messages, %d fields, %d enums, %d values" % table.counts
    lines = [
        "// swift-format-ignore-file",
        "// Written by Generator/generate.py from Protos/ (`make protos`). Do not edit.",
        "",
        f"/// {counts}. The layout is described in `FieldTable`.",
        "enum XDSFieldTable {",
        f"    static let messageCount = {table.counts[0]}",
        f"    static let enumCount = {table.counts[2]}",
    ]
    for name in ("messages", "fields", "oneofs", "enums", "values", "names"):
        lines += swift_text(name, getattr(table, name))
    lines.append("}")
    with open(os.path.join(SCHEMA, "XDSFieldTable.generated.swift"), "w") as out:
        out.write("\n".join(lines) + "\n")


def write_names(table, model):
    lines = [
        "// swift-format-ignore-file",
        "// Written by Generator/generate.py from Protos/ (`make protos`). Do not edit.",
        "",
        "/// The messages that Martlet reads or writes, and the numbers of the fields that it carries out.",
        "public enum XDS {",
    ]
    entries = {name for name, message in model.messages.items() if message.options.map_entry}
    names = [name for name in table.message_names if name not in entries]
    for name, short in sorted(short_names(names).items(), key=lambda item: item[1]):
        lines.append(f"    /// {name}")
        lines.append(f"    public enum {short} {{")
        lines.append(f"        public static var messageType: MessageType {{ MessageType({table.message_index[name]}) }}")
        for field in sorted(model.messages[name].field, key=lambda f: f.number):
            if model.support(field) == model.option.SUPPORTED:
                identifier = swift_identifier(field.name)
                lines.append(f"        public static var {identifier}: FieldNumber {{ {field.number} }}")
        lines.append("    }")
    lines.append("}")
    with open(os.path.join(SCHEMA, "XDSNames.generated.swift"), "w") as out:
        out.write("\n".join(lines) + "\n")


def trimmed(files, model):
    """The same files with only what is carried out."""
    result = dp.FileDescriptorSet()
    result.CopyFrom(files)
    kept = [f for f in result.file if f.package != "martlet.option.v1" and f.name != "google/protobuf/descriptor.proto"]
    for file in kept:
        dependencies = [d for d in file.dependency if not d.startswith("martlet/option/")]
        del file.dependency[:]
        file.dependency.extend(dependencies)
        if file.package == "google.protobuf":
            continue
        for message in file.message_type:
            trim_message(message, model)
        for enum in file.enum_type:
            trim_enum(enum)
    return kept


def trim_enum(enum):
    for value in enum.value:
        value.ClearField("options")


def trim_message(message, model):
    for nested in message.nested_type:
        trim_message(nested, model)
    for enum in message.enum_type:
        trim_enum(enum)
    if message.options.map_entry:
        return
    fields = []
    for field in message.field:
        if model.support(field) == model.option.SUPPORTED:
            copy = dp.FieldDescriptorProto()
            copy.CopyFrom(field)
            copy.ClearField("options")
            fields.append(copy)
    used = sorted({field.oneof_index for field in fields if field.HasField("oneof_index")})
    oneofs = [message.oneof_decl[index] for index in used]
    names = [oneof.name for oneof in oneofs]
    for field in fields:
        if field.HasField("oneof_index"):
            field.oneof_index = used.index(field.oneof_index)
    del message.field[:]
    message.field.extend(fields)
    del message.oneof_decl[:]
    for name in names:
        message.oneof_decl.add().name = name
    kept_entries = {field.type_name.split(".")[-1] for field in fields if field.type == F.TYPE_MESSAGE}
    nested = [n for n in message.nested_type if not n.options.map_entry or n.name in kept_entries]
    copies = []
    for one in nested:
        copy = dp.DescriptorProto()
        copy.CopyFrom(one)
        copies.append(copy)
    del message.nested_type[:]
    message.nested_type.extend(copies)


def write_messages(files, model, plugin):
    request = plugin_pb2.CodeGeneratorRequest()
    request.parameter = "Visibility=Public,FileNaming=PathToUnderscores"
    for file in trimmed(files, model):
        request.proto_file.add().CopyFrom(file)
        if file.package != "google.protobuf":
            request.file_to_generate.append(file.name)
    request.compiler_version.major, request.compiler_version.minor = 4, 25
    done = subprocess.run([plugin], input=request.SerializeToString(), stdout=subprocess.PIPE, check=True)
    response = plugin_pb2.CodeGeneratorResponse.FromString(done.stdout)
    if response.error:
        raise SystemExit(response.error)
    os.makedirs(MESSAGES, exist_ok=True)
    for old in os.listdir(MESSAGES):
        os.remove(os.path.join(MESSAGES, old))
    for file in response.file:
        with open(os.path.join(MESSAGES, file.name), "w") as out:
            out.write(file.content)


def write_page(model):
    lines = [
        "# What of the Envoy v3 API Martlet carries out",
        "",
        "Generated from the field table (`make protos`); the list to edit is",
        "`Sources/Model/XDSSchema/Generator/supported.txt`. Package, message and field names and numbers are Envoy's, in a",
        "bootstrap and over xDS alike. What is not named here is refused with its path: a bootstrap ends with exit status 2,",
        "a response is answered with a NACK. *Without effect*: accepted, since it cannot change what Martlet does.",
        "Where only some values of an enumeration are carried out, they stand in brackets.",
        "",
        "Discovery is state of the world over one aggregated stream (`ads: {}`), as Envoy does it, except that",
        "",
        "- `error_detail` names every bad resource with the path of every bad field;",
        "- a changed cluster that asks for the same endpoints goes on with those it has, and need not get them again;",
        "- a response that is refused is answered at once; only the acknowledgement of clusters waits until they are warm;",
        "- a cluster or listener whose secret has not come stays out (or as it was), also after `initial_fetch_timeout`;",
        "- HTTP/2 windows above 1 MiB for a stream and 4 MiB for a connection, and more than 1,024 concurrent streams, are taken as",
        "  those: a peer that follows them sees no other difference;",
        "- `per_connection_buffer_limit_bytes: 0`, which means no bound, is refused, as are unknown words in `retry_on` and",
        "  operators that no access log has.",
    ]
    packages = {}
    for name, message in model.messages.items():
        package = ".".join(part for part in name.split(".") if part[0].islower())
        if package != "google.protobuf" and not message.options.map_entry:
            packages.setdefault(package, []).append((name[len(package) + 1 :], message))
    for package in sorted(packages):
        lines += ["", f"## {package}", ""]
        for name, message in sorted(packages[package]):
            lines += message_page(name, message, model)
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    with open(PAGE, "w") as out:
        out.write("\n".join(lines) + "\n")


def message_page(name, message, model):
    carried, idle = [], []
    for field in sorted(message.field, key=lambda f: f.number):
        support = model.support(field)
        if support == model.option.WITHOUT_EFFECT:
            idle.append(f"`{field.name}`")
        elif support == model.option.SUPPORTED:
            carried.append(f"`{field.name}`{values_page(field, model)}")
    text = f"- **{name}**: " + (" · ".join(carried) if carried else "no fields")
    if idle:
        text += ". Without effect: " + " · ".join(idle)
    return [text]


def values_page(field, model):
    if field.type != F.TYPE_ENUM:
        return ""
    values = model.enums[field.type_name[1:]].value
    option = model.option.value_support
    kept = [v.name for v in values if v.options.Extensions[option] != model.option.REFUSED]
    return f" [{', '.join(kept)}]" if len(kept) < len(values) else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protoc-gen-swift")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files, option = describe(temporary)
        model = Model(files, option)
        table = Table(model)
        write_table(table)
        write_names(table, model)
        write_page(model)
        if arguments.protoc_gen_swift:
            write_messages(files, model, arguments.protoc_gen_swift)


if __name__ == "__main__":
    main()
