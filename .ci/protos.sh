#!/bin/sh
# Writes what is generated from Sources/Model/XDSSchema/Generator/supported.txt again: the .proto files, the proxy's
# field table, the control plane's messages, docs/ENVOY-COMPATIBILITY.md and the tests' fixtures.
set -eu
cd "$(dirname "$0")/.."
generator=Sources/Model/XDSSchema/Generator
if [ ! -x .tools/protos/bin/python ]; then
    echo "make protos: installing xds-protos and grpcio-tools from PyPI into .tools/protos"
    python3 -m venv .tools/protos
    .tools/protos/bin/pip install --quiet xds-protos==1.85.0 grpcio-tools==1.85.1 pyyaml
fi
swift package resolve
echo "make protos: building protoc-gen-swift"
swift build --package-path .build/checkouts/swift-protobuf --scratch-path .tools/swift-protobuf \
    --product protoc-gen-swift
rm -rf Sources/Model/XDSSchema/Protos/envoy Sources/Model/XDSSchema/Protos/google Sources/Model/XDSSchema/Protos/xds
.tools/protos/bin/python $generator/import_envoy.py
.tools/protos/bin/python $generator/generate.py \
    --protoc-gen-swift .tools/swift-protobuf/debug/protoc-gen-swift
.tools/protos/bin/python $generator/make_fixtures.py
git status --short Sources/Model/XDSSchema Sources/ControlPlane/XDSMessages docs Tests/XDSSchemaTests
