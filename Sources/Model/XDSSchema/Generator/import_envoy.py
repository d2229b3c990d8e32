"""Writes Protos/envoy and Protos/google from supported.txt and the descriptors of PyPI's xds-protos.

Names, numbers, types and constraints are taken over; comments and layout are not.
"""

import importlib
import os
import pkgutil
import sys

from google.protobuf import descriptor as d
from google.protobuf import descriptor_pool
from google.protobuf import any_pb2, duration_pb2, empty_pb2, struct_pb2, wrappers_pb2
from google.protobuf import descriptor_pb2 as dp

HERE = os.path.dirname(os.path.abspath(__file__))
PROTOS = os.path.join(os.path.dirname(HERE), "Protos")
SECRETS = {
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
}
SCALARS = {
    dp.FieldDescriptorProto.TYPE_DOUBLE: "double",
    dp.FieldDescriptorProto.TYPE_FLOAT: "float",
    dp.FieldDescriptorProto.TYPE_INT64: "int64",
    dp.FieldDescriptorProto.TYPE_UINT64: "uint64",
    dp.FieldDescriptorProto.TYPE_INT32: "int32",
    dp.FieldDescriptorProto.TYPE_FIXED64: "fixed64",
    dp.FieldDescriptorProto.TYPE_FIXED32: "fixed32",
    dp.FieldDescriptorProto.TYPE_BOOL: "bool",
    dp.FieldDescriptorProto.TYPE_STRING: "string",
    dp.FieldDescriptorProto.TYPE_BYTES: "bytes",
    dp.FieldDescriptorProto.TYPE_UINT32: "uint32",
    dp.FieldDescriptorProto.TYPE_SFIXED32: "sfixed32",
    dp.FieldDescriptorProto.TYPE_SFIXED64: "sfixed64",
    dp.FieldDescriptorProto.TYPE_SINT32: "sint32",
    dp.FieldDescriptorProto.TYPE_SINT64: "sint64",
}
KNOWN_FILES = {
    "Any": "any", "Duration": "duration", "Empty": "empty", "Struct": "struct",
    "Value": "struct", "ListValue": "struct", "NullValue": "struct",
}


def load_descriptors():
    """Every module of the packages that we describe, so that the pool knows them."""
    import envoy
    import google.rpc.status_pb2  # noqa: F401
    import xds

    for top in (envoy, xds):
        for module in pkgutil.walk_packages(top.__path__, top.__name__ + "."):
            if module.name.endswith("_pb2"):
                try:
                    importlib.import_module(module.name)
                except Exception as error:  # a module of a package that nobody here needs
                    print(f"skipped {module.name}: {error}", file=sys.stderr)


def read_list(path):
    """{message: {field: 'supported' | 'without effect'}} and {enum: [values]}, names in full."""
    messages, enums, package = {}, {}, ""
    with open(path) as lines:
        for number, line in enumerate(lines, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            if line.startswith("["):
                package = line.strip("[]")
                continue
            head, _, rest = line.partition(":")
            if head.startswith("enum "):
                enums[f"{package}.{head[5:]}"] = rest.split()
                continue
            fields = {}
            for word in rest.split():
                fields[word.rstrip("~")] = "without effect" if word.endswith("~") else "supported"
            if f"{package}.{head}" in messages:
                raise SystemExit(f"{path}:{number}: {head} is listed twice")
            messages[f"{package}.{head}"] = fields
    return messages, enums


class Writer:
    def __init__(self, messages, enums):
        self.messages, self.enums = messages, enums
        self.pool = descriptor_pool.Default()
        self.imports = {}

    def message(self, name):
        try:
            return self.pool.FindMessageTypeByName(name)
        except KeyError:
            raise SystemExit(f"supported.txt: no message {name}")

    def enum_of_field(self, field):
        """An enum that its package's file or a listed message declares."""
        holder = field.enum_type.containing_type
        return holder is None or holder.full_name in self.messages

    def file_of(self, full_name):
        if full_name.startswith("google.protobuf."):
            last = full_name.split(".")[2]
            return f"google/protobuf/{KNOWN_FILES.get(last, 'wrappers')}.proto"
        package = self.package_of(full_name)
        return package.replace(".", "/") + ".proto"

    def package_of(self, full_name):
        try:
            return self.pool.FindMessageTypeByName(full_name).file.package
        except KeyError:
            return self.pool.FindEnumTypeByName(full_name).file.package

    def needed_enums(self):
        """Top-level enums that a field in use has, by package."""
        found = {}
        for name, fields in self.messages.items():
            for field in self.message(name).fields:
                if fields.get(field.name) and field.enum_type and field.enum_type.containing_type is None:
                    found.setdefault(field.enum_type.file.package, {})[field.enum_type.full_name] = field.enum_type
        return found

    def write(self):
        packages = {}
        for name in self.messages:
            if not name.startswith("google.protobuf."):
                packages.setdefault(self.message(name).file.package, []).append(name)
        enums = self.needed_enums()
        for package in sorted(set(packages) | set(enums)):
            if package == "google.protobuf":
                continue
            self.imports = {"martlet/option/v1/option.proto"}
            body = []
            for enum in sorted(enums.get(package, {}).values(), key=lambda e: e.name):
                body += [""] + self.enum_lines(enum, "")
            for name in sorted(packages.get(package, [])):
                if self.message(name).containing_type is None:
                    body += [""] + self.message_lines(self.message(name), "")
                elif self.message(name).containing_type.full_name not in self.messages:
                    raise SystemExit(f"supported.txt: {name} needs its outer message listed")
            path = package.replace(".", "/") + ".proto"
            self.imports.discard(path)
            if not any("martlet.option" in line for line in body):
                self.imports.discard("martlet/option/v1/option.proto")
            head = [
                "// Written by Generator/import_envoy.py from Generator/supported.txt. Do not edit.",
                'syntax = "proto3";',
                f"package {package};",
                "",
            ] + [f'import "{file}";' for file in sorted(self.imports)]
            target = os.path.join(PROTOS, path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "w") as out:
                out.write("\n".join(head + body) + "\n")

    def enum_lines(self, enum, indent):
        listed = self.enums.get(enum.full_name)
        lines = [f"{indent}enum {enum.name} {{"]
        if enum.GetOptions().allow_alias:
            lines.append(f"{indent}  option allow_alias = true;")
        for value in enum.values:
            refused = listed is not None and value.name not in listed
            option = " [(martlet.option.v1.value_support) = REFUSED]" if refused else ""
            lines.append(f"{indent}  {value.name} = {value.number}{option};")
        for name in listed or []:
            if name not in enum.values_by_name:
                raise SystemExit(f"supported.txt: {enum.full_name} has no value {name}")
        return lines + [indent + "}"]

    def message_lines(self, message, indent):
        fields = self.messages[message.full_name]
        for name in fields:
            if name not in message.fields_by_name:
                raise SystemExit(f"supported.txt: {message.full_name} has no field {name}")
        lines = [f"{indent}message {message.name} {{"]
        for enum in message.enum_types:
            lines += self.enum_lines(enum, indent + "  ")
        for nested in message.nested_types:
            if nested.full_name in self.messages:
                lines += self.message_lines(nested, indent + "  ")
        oneofs = {}
        for field in message.fields:
            if field.containing_oneof and not field.containing_oneof.name.startswith("_"):
                oneofs.setdefault(field.containing_oneof.name, []).append(field)
        done = set()
        for field in sorted(message.fields, key=lambda f: f.number):
            oneof = field.containing_oneof
            if oneof and oneof.name in oneofs:
                if oneof.name in done:
                    continue
                done.add(oneof.name)
                lines.append(f"{indent}  oneof {oneof.name} {{")
                if self.is_required(oneof):
                    lines.append(f"{indent}    option (martlet.option.v1.one_required) = true;")
                for member in sorted(oneofs[oneof.name], key=lambda f: f.number):
                    lines.append(self.field_line(member, fields, indent + "    "))
                lines.append(indent + "  }")
            else:
                lines.append(self.field_line(field, fields, indent + "  "))
        return lines + [indent + "}"]

    def is_required(self, oneof):
        for option, value in oneof.GetOptions().ListFields():
            if option.full_name == "validate.required":
                return value
        return False

    def field_line(self, field, supported, indent):
        state = supported.get(field.name, "refused")
        label, options, opaque = "", [], False
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        repeated = field.is_repeated
        if repeated and not is_map:
            label = "repeated "
        elif field.containing_oneof and field.containing_oneof.name.startswith("_"):
            label = "optional "
        if is_map:
            value = field.message_type.fields_by_name["value"]
            key = field.message_type.fields_by_name["key"]
            value_type = self.type_name(value)
            if state == "refused" or value_type is None:
                opaque, label, kind = True, "repeated ", "bytes"
            else:
                kind = f"map<{self.type_name(key)}, {value_type}>"
        else:
            kind = self.type_name(field)
            if kind is None or (state != "supported" and (field.message_type or field.enum_type)):
                opaque = True
                kind = "bytes" if field.message_type else "int32"
        if state == "supported" and opaque:
            raise SystemExit(f"supported.txt: {field.full_name} needs its type listed")
        if state != "refused" and not opaque:
            self.add_import(field)
        if state == "refused":
            options.append("(martlet.option.v1.support) = REFUSED")
        elif state == "without effect":
            options.append("(martlet.option.v1.support) = WITHOUT_EFFECT")
        if opaque:
            options.append("(martlet.option.v1.opaque) = true")
        if field.full_name in SECRETS:
            options.append("(martlet.option.v1.secret) = true")
        rule = rule_text(field) if state == "supported" else ""
        if rule:
            options.append(f"(martlet.option.v1.rule) = {{{rule}}}")
        tail = f" [{', '.join(options)}]" if options else ""
        return f"{indent}{label}{kind} {field.name} = {field.number}{tail};"

    def add_import(self, field):
        types = [field]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            types = field.message_type.fields
        for one in types:
            target = one.message_type or one.enum_type
            if target is not None:
                self.imports.add(self.file_of(target.full_name))

    def type_name(self, field):
        """None where the type is not described."""
        if field.message_type is not None:
            name = field.message_type.full_name
            return "." + name if name in self.messages else None
        if field.enum_type is not None:
            return "." + field.enum_type.full_name if self.enum_of_field(field) else None
        return SCALARS[field.type]


def rule_text(field):
    for option, value in field.GetOptions().ListFields():
        if option.full_name == "validate.rules":
            return ", ".join(rule_parts(value))
    return ""


def rule_parts(rules):
    parts = []
    if rules.HasField("message") and rules.message.required:
        parts.append("required: true")
    kind = rules.WhichOneof("type")
    if kind is None:
        return parts
    value = getattr(rules, kind)
    if kind == "string":
        if value.min_len or value.min_bytes:
            parts.append(f"length_min: {max(value.min_len, value.min_bytes)}")
        if value.max_len or value.max_bytes:
            parts.append(f"length_max: {value.max_len or value.max_bytes}")
        if value.prefix:
            parts.append(f'prefix: "{value.prefix}"')
        if value.well_known_regex:
            parts.append("characters: " + ("HEADER_NAME" if value.well_known_regex == 1 else "HEADER_VALUE"))
    elif kind == "bytes":
        if value.min_len:
            parts.append(f"length_min: {value.min_len}")
        if value.max_len:
            parts.append(f"length_max: {value.max_len}")
    elif kind == "duration":
        if value.required:
            parts.append("required: true")
        bounds(parts, value, lambda v: v.seconds * 10**9 + v.nanos)
    elif kind in ("uint32", "uint64", "int32", "int64", "sint32", "sint64"):
        bounds(parts, value, int)
    elif kind in ("double", "float"):
        bounds(parts, value, int, step=0)
    elif kind == "repeated":
        if value.min_items:
            parts.append(f"items_min: {value.min_items}")
        if value.max_items:
            parts.append(f"items_max: {value.max_items}")
        each = [part for part in rule_parts(value.items) if part != "required: true"]
        if each:
            parts.append(f"each: {{{', '.join(each)}}}")
    elif kind == "any" and value.required:
        parts.append("required: true")
    return parts


def bounds(parts, value, number, step=1):
    if value.HasField("gte"):
        parts.append(f"min: {number(value.gte)}")
    if value.HasField("gt"):
        parts.append(f"min: {number(value.gt) + step}")
    if value.HasField("lte"):
        parts.append(f"max: {number(value.lte)}")
    if value.HasField("lt"):
        parts.append(f"max: {number(value.lt) - step}")


def main():
    load_descriptors()
    messages, enums = read_list(os.path.join(HERE, "supported.txt"))
    Writer(messages, enums).write()


if __name__ == "__main__":
    main()
