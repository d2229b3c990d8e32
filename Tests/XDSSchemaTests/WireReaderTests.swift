import Testing

@testable import XDSSchema

@Suite("Reading and writing binary")
struct WireReaderTests {
    private func problems(_ bytes: [UInt8], as type: MessageType) -> [String] {
        var problems = ConfigProblems()
        _ = WireReader.read(bytes, as: type, path: "m", problems: &problems)
        return problems.list.map(\.description)
    }

    @Test(
        "Bytes that are no message are refused",
        arguments: [
            ([0x0A], "m.address_prefix: the message is cut off or no protobuf"),
            ([0x0A, 0x05, 0x61], "m.address_prefix: the message is cut off"),
            ([0x08, 0x01], "m.address_prefix: wire type 0 is not a string"),
            ([0x0A, 0x01, 0xFF], "m.address_prefix: the string is not UTF-8"),
            ([0x00], "m: a field has no valid number"),
            ([0x0B], "m.address_prefix: wire type 3 is not a string"),
            (
                [0x7B],
                "m: field 15 of envoy.config.core.v3.CidrRange is not supported, there is no such field"
            ),
            (
                [0x78, 0x01],
                "m: field 15 of envoy.config.core.v3.CidrRange is not supported, there is no such field"
            ),
            (
                [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
                "m: the message is cut off or no protobuf"
            ),
            ([0x12, 0x02, 0x08], "m.prefix_len: the message is cut off"),
        ] as [([UInt8], String)])
    func malformed(bytes: [UInt8], expected: String) {
        #expect(problems(bytes, as: XDS.CidrRange.messageType).first == expected)
    }

    @Test("Every truncation of a message is read or refused")
    func truncations() {
        for name in Examples.names {
            let bytes = Examples.binary(name)
            for count in stride(from: 0, to: bytes.count, by: 7) {
                var problems = ConfigProblems()
                let message = WireReader.read(
                    Array(bytes.prefix(count)), as: XDS.Bootstrap.messageType, problems: &problems)
                #expect((message == nil) == !problems.isEmpty)
            }
        }
    }

    @Test("Packed and unpacked numbers are the same list")
    func packed() throws {
        let type = XDS.RetryPolicy.messageType
        let number = UInt8(XDS.RetryPolicy.retriableStatusCodes.rawValue)
        var problems = ConfigProblems()
        let packed = WireReader.read([number << 3 | 2, 3, 0x01, 0xAD, 0x03], as: type, problems: &problems)
        let single = WireReader.read(
            [number << 3, 0x01, number << 3, 0xAD, 0x03], as: type, problems: &problems)
        #expect(problems.isEmpty)
        #expect(packed?.numbers(XDS.RetryPolicy.retriableStatusCodes) == [1, 429])
        #expect(packed == single)
    }

    @Test("A message in two parts is merged, the later member of a oneof wins")
    func parts() throws {
        var problems = ConfigProblems()
        let node = WireReader.read(
            [0x0A, 0x03, 0x0A, 0x01, 0x61, 0x0A, 0x03, 0x12, 0x01, 0x62], as: XDS.Bootstrap.messageType,
            problems: &problems)
        #expect(node == read("node: {id: a, cluster: b}"))
        let source = WireReader.read(
            [0x0A, 0x01, 0x61, 0x1A, 0x01, 0x62], as: XDS.DataSource.messageType, problems: &problems)
        #expect(source == read("inline_string: b", as: XDS.DataSource.messageType))
    }

    @Test("A response's resources stay packed when asked, and are read on their own")
    func response() throws {
        var problems = ConfigProblems()
        let response = try #require(
            WireReader.read(
                Examples.decoded(WireFixtures.clusterResponse), as: XDS.DiscoveryResponse.messageType,
                keepsAnyPacked: true, problems: &problems))
        #expect(response.text(XDS.DiscoveryResponse.versionInfo) == "7")
        #expect(response.text(XDS.DiscoveryResponse.nonce) == "n1")
        let resources = response.messages(XDS.DiscoveryResponse.resources)
        #expect(
            resources.map { $0.text(XDS.AnyMessage.typeUrl) }
                == Array(repeating: XDS.Cluster.messageType.typeURL, count: 2))
        let names = resources.map { resource in
            WireReader.read(
                resource.bytes(XDS.AnyMessage.value), as: XDS.Cluster.messageType, problems: &problems)?
                .text(XDS.Cluster.name)
        }
        #expect(names == ["a", "b"])
        #expect(problems.isEmpty)
    }

    @Test("Refused fields and values are named, all of them")
    func refused() {
        #expect(
            problems(Examples.decoded(WireFixtures.refusedCluster), as: XDS.Cluster.messageType) == [
                "m.circuit_breakers.thresholds[1].max_connection_pools: not supported; do not send it"
            ])
    }

    @Test("Every kind of number survives writing and reading")
    func numbers() throws {
        for (type, value) in [
            (XDS.Int64Value.messageType, ConfigValue.signed(Int64.min)),
            (XDS.Int32Value.messageType, .signed(-1)),
            (XDS.UInt64Value.messageType, .unsigned(UInt64.max)),
            (XDS.UInt32Value.messageType, .unsigned(4_294_967_295)),
            (XDS.DoubleValue.messageType, .double(-0.1)), (XDS.FloatValue.messageType, .double(0.5)),
            (XDS.BoolValue.messageType, .bool(true)), (XDS.BytesValue.messageType, .bytes([0, 255])),
            (XDS.StringValue.messageType, .text("ä")),
        ] {
            var message = ConfigMessage(type)
            message.set(1, value)
            var problems = ConfigProblems()
            #expect(WireReader.read(WireWriter.write(message), as: type, problems: &problems) == message)
            #expect(
                TextReader.read(JSONWriter.write(message), as: type, file: "f", problems: &problems)
                    == message)
            #expect(problems.isEmpty)
        }
    }

    @Test("Secrets are not written as JSON")
    func redaction() throws {
        let message = try #require(
            read(
                "{certificate_chain: {inline_string: CERT}, private_key: {inline_bytes: U0VDUkVU}}",
                as: XDS.TlsCertificate.messageType))
        let json = String(decoding: JSONWriter.write(message, isIndented: false), as: UTF8.self)
        #expect(
            json
                == "{\"certificate_chain\":{\"inline_string\":\"CERT\"},\"private_key\":{\"inline_bytes\":\"[redacted]\"}}"
        )
        let named = try #require(read("{private_key: {filename: /k}}", as: XDS.TlsCertificate.messageType))
        #expect(String(decoding: JSONWriter.write(named), as: UTF8.self).contains("/k"))
    }

    @Test("JSON is written in proto3's forms")
    func json() throws {
        let message = try #require(
            read(
                "{name: a, connect_timeout: 0.25s, lb_policy: RANDOM, transport_socket_matches: [{name: m, match: {k: [1, {b: null}]}}]}",
                as: XDS.Cluster.messageType))
        #expect(
            String(decoding: JSONWriter.write(message, isIndented: false), as: UTF8.self)
                == "{\"name\":\"a\",\"connect_timeout\":\"0.250s\",\"lb_policy\":\"RANDOM\","
                + "\"transport_socket_matches\":[{\"name\":\"m\",\"match\":{\"k\":[1,{\"b\":null}]}}]}")
    }
}
