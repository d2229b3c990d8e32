"""Writes Tests/XDSSchemaTests/WireFixtures.swift: the examples of mesh-config/bootstrap as other software encodes them
(PyPI's xds-protos and protobuf), binary and JSON, and a discovery response. Needs PyPI's PyYAML too."""

import base64
import json
import os

import yaml
from google.protobuf import any_pb2, descriptor_pool, json_format, message_factory

import import_envoy

ROOT = os.path.abspath(os.path.join(import_envoy.HERE, "..", "..", "..", ".."))
EXAMPLES = ["static", "ads", "features"]


def settle(message):
    """Packs what lies in Any again: json_format leaves maps in there in an order that changes from run to run."""
    if isinstance(message, any_pb2.Any):
        kind = descriptor_pool.Default().FindMessageTypeByName(message.TypeName())
        inner = message_factory.GetMessageClass(kind)()
        message.Unpack(inner)
        settle(inner)
        message.value = inner.SerializeToString(deterministic=True)
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = [part for part in value.values() if hasattr(part, "ListFields")]
        else:
            parts = [value] if hasattr(value, "ListFields") else value
        for part in parts:
            settle(part)


def main():
    import_envoy.load_descriptors()
    from envoy.config.bootstrap.v3 import bootstrap_pb2
    from envoy.config.cluster.v3 import cluster_pb2
    from envoy.service.discovery.v3 import discovery_pb2

    lines = [
        "// swift-format-ignore-file",
        "// Written by Sources/Model/XDSSchema/Generator/make_fixtures.py. Do not edit.",
        "",
        "/// What other software writes, in base64.",
        "enum WireFixtures {",
    ]

    def add(name, data):
        lines.append(f'    static let {name} = """')
        text = base64.b64encode(data).decode()
        lines.extend(text[start : start + 110] + "\\" for start in range(0, len(text), 110))
        lines[-1] = lines[-1][:-1]
        lines.append('"""')

    for name in EXAMPLES:
        with open(os.path.join(ROOT, "mesh-config", "bootstrap", name + ".yaml")) as text:
            tree = yaml.safe_load(text)
        message = json_format.ParseDict(tree, bootstrap_pb2.Bootstrap())
        settle(message)
        add(name + "Binary", message.SerializeToString(deterministic=True))
        add(name + "JSON", json.dumps(json_format.MessageToDict(message), sort_keys=True).encode())
    response = discovery_pb2.DiscoveryResponse(version_info="7", nonce="n1", type_url="type.googleapis.com/" + "envoy.config.cluster.v3.Cluster")
    for name in ("a", "b"):
        cluster = cluster_pb2.Cluster(name=name)
        cluster.connect_timeout.FromMilliseconds(250)
        cluster.circuit_breakers.thresholds.add().max_requests.value = 7
        response.resources.add().Pack(cluster)
    add("clusterResponse", response.SerializeToString(deterministic=True))
    refused = cluster_pb2.Cluster(name="c")
    refused.circuit_breakers.thresholds.add()
    refused.circuit_breakers.thresholds.add().max_connection_pools.value = 7
    refused.lb_policy = cluster_pb2.Cluster.MAGLEV
    add("refusedCluster", refused.SerializeToString(deterministic=True))
    lines.append("}")
    with open(os.path.join(ROOT, "Tests", "XDSSchemaTests", "WireFixtures.swift"), "w") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
