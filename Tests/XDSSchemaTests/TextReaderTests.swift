import Testing

@testable import XDSSchema

@Suite("Reading YAML and JSON")
struct TextReaderTests {
    @Test(
        "What is wrong is said with place, path and remedy",
        arguments: [
            (
                "static_resources:\n  clusters:\n  - name: a\n    circuit_breakers:\n      thresholds:\n      - max_pools: 3\n",
                [
                    "f:6:9: static_resources.clusters[0].circuit_breakers.thresholds[0].max_pools: not supported, "
                        + "there is no such field in envoy.config.cluster.v3.CircuitBreakers.Thresholds"
                ]
            ),
            (
                "static_resources:\n  clusters:\n  - nam: a\n    max_request: 3\n",
                [
                    "f:3:5: static_resources.clusters[0].nam: not supported, there is no such field in "
                        + "envoy.config.cluster.v3.Cluster; did you mean 'name'?",
                    "f:4:5: static_resources.clusters[0].max_request: not supported, there is no such field in "
                        + "envoy.config.cluster.v3.Cluster",
                ]
            ),
            (
                "node: {id: n}",
                [
                    "f:1:12: node.id: expected a string, found a boolean; put it in quotes (YAML 1.1 reads a bare one as a boolean)"
                ]
            ),
            (
                "node: {cluster: 1}",
                [
                    "f:1:17: node.cluster: expected a string, found a number; put it in quotes (YAML 1.1 reads a bare one as a number)"
                ]
            ),
            ("node: [1]", ["f:1:7: node: expected an object, found a list"]),
            ("node: {id: a, id: b}", ["f:1:15: node.id: set twice, first in line 1"]),
            (
                "node:\n  userAgentName: a\n  user_agent_name: b",
                ["f:3:3: node.user_agent_name: set twice, first in line 2"]
            ),
            (
                "static_resources: {clusters: [{name: a, connect_timeout: 5}]}",
                [
                    "f:1:58: static_resources.clusters[0].connect_timeout: expected a duration such as \"1.5s\", found a number"
                ]
            ),
            (
                "static_resources: {clusters: [{name: a, connect_timeout: 0s}]}",
                [
                    "f:1:41: static_resources.clusters[0].connect_timeout: must be at least 0.000000001s (above zero)"
                ]
            ),
            (
                "static_resources: {clusters: [{connect_timeout: 1s}]}",
                ["f:1:31: static_resources.clusters[0].name: must not be empty"]
            ),
            (
                "admin: {address: {socket_address: {protocol: UDP, address: a, port_value: 1}}}",
                ["f:1:46: admin.address.socket_address.protocol: UDP is not supported; use TCP"]
            ),
            (
                "static_resources: {clusters: [{name: a, lb_policy: LEAST_REQUESTS}]}",
                [
                    "f:1:52: static_resources.clusters[0].lb_policy: LEAST_REQUESTS is not one of ROUND_ROBIN, LEAST_REQUEST, "
                        + "RING_HASH, RANDOM, MAGLEV, CLUSTER_PROVIDED, LOAD_BALANCING_POLICY_CONFIG; did you mean "
                        + "LEAST_REQUEST?"
                ]
            ),
            (
                "admin: {address: {socket_address: {address: a, port_value: 65536}}}",
                ["f:1:48: admin.address.socket_address.port_value: must be at most 65535"]
            ),
            (
                "admin: {address: {socket_address: {address: a, port_value: -1}}}",
                [
                    "f:1:60: admin.address.socket_address.port_value: expected a whole number from 0 to 4294967295, found a number"
                ]
            ),
            ("admin: {address: {}}", ["f:1:18: admin.address: needs 'socket_address'"]),
            (
                "static_resources: {clusters: [{name: a, transport_socket: {name: t, typed_config: {\"@type\": \"x/y.Z\"}}}]}",
                [
                    "f:1:93: static_resources.clusters[0].transport_socket.typed_config: unknown extension type 'x/y.Z'"
                ]
            ),
            (
                "static_resources: {clusters: [{name: a, transport_socket: {name: t, typed_config: {}}}]}",
                [
                    "f:1:83: static_resources.clusters[0].transport_socket.typed_config: \"@type\" is missing; it names the "
                        + "type of the extension"
                ]
            ),
            ("node: {id: a\n", ["f:2:1: not YAML: did not find expected ',' or '}'"]),
            ("{\"node\": {\"id\": \"a\"}", ["f:1:21: ',' or '}' is expected"]),
            ("a: *b", ["f:1:4: the alias '*b' has no anchor"]),
            ("--- {}\n--- {}\n", ["f:2:1: a second document; there may be one"]),
            ("node: !!binary aa", ["f:1:7: the tag 'tag:yaml.org,2002:binary' is not supported"]),
        ])
    func refusals(text: String, expected: [String]) {
        #expect(problems(text) == expected)
    }

    @Test("At most one member of a oneof may be set")
    func oneof() {
        let text = "{\"filename\": \"a\", \"inline_string\": \"b\"}"
        #expect(
            problems(text, as: XDS.DataSource.messageType)
                == ["f:1:19: inline_string: only one of 'filename' and 'inline_string' may be set"])
        #expect(
            problems("{}", as: XDS.DataSource.messageType).first?.contains(
                "needs one of 'filename', 'inline_bytes'")
                == true)
    }

    @Test("All problems are reported, up to the bound")
    func allProblems() {
        var found = ConfigProblems(countMax: 5)
        let text = (0..<9).map { "x\($0): 1\n" }.joined()
        #expect(
            TextReader.read(Array(text.utf8), as: XDS.Bootstrap.messageType, file: "f", problems: &found)
                == nil)
        #expect(found.list.count == 5)
        #expect(found.omitted == 4)
    }

    @Test("Scalars are read as proto3's JSON mapping says")
    func scalars() throws {
        let wrapper = XDS.UInt32Value.messageType
        for (text, value) in [
            ("5", 5), ("\"5\"", 5), ("5.0", 5), ("1e3", 1000), ("0", 0), ("0x10", 16), ("010", 8),
        ] {
            #expect(read(text, as: wrapper)?.unsigned(1) == UInt64(value), "\(text)")
        }
        for text in ["-1", "4294967296", "1.5", "abc", "true", "\"\"", "[]"] {
            #expect(!problems(text, as: wrapper).isEmpty, "\(text)")
        }
        for (text, value) in [
            ("1", 1.0), ("1.5", 1.5), ("\"2.5\"", 2.5), (".5", 0.5), ("\"-Infinity\"", -.infinity),
        ] {
            #expect(read(text, as: XDS.DoubleValue.messageType)?.double(1) == value, "\(text)")
        }
        for (text, bytes) in [("aGk=", "hi"), ("aGk", "hi"), ("\"\"", ""), ("_-8=", "\u{7FF}")]
        where text != "_-8=" {
            #expect(read(text, as: XDS.BytesValue.messageType)?.bytes(1) == Array(bytes.utf8), "\(text)")
        }
        #expect(read("_-8=", as: XDS.BytesValue.messageType)?.bytes(1) == [0xFF, 0xEF])
        for text in ["a", "a===", "a b=", "é"] {
            #expect(!problems(text, as: XDS.BytesValue.messageType).isEmpty, "\(text)")
        }
        #expect(read("18446744073709551615", as: XDS.UInt64Value.messageType)?.unsigned(1) == UInt64.max)
        #expect(read("-9223372036854775808", as: XDS.Int64Value.messageType)?.signed(1) == Int64.min)
    }

    @Test("A negative duration is refused, with the field's own bound if it has one")
    func negativeDurations() {
        let route = problems("{cluster: a, timeout: -0.5s}", as: XDS.RouteAction.messageType)
        #expect(route.count == 1 && route[0].hasSuffix(" timeout: must not be negative"), "\(route)")
        let cluster = problems("{name: a, connect_timeout: -1s}", as: XDS.Cluster.messageType)
        #expect(cluster.count == 1 && cluster[0].contains(" connect_timeout: must be at least"), "\(cluster)")
    }

    @Test("Durations are read to the nanosecond")
    func durations() {
        let type = XDS.Duration.messageType
        let expected: [(String, Int64, Int64)] = [
            ("1.5s", 1, 500_000_000), ("0.000000001s", 0, 1), ("-1.25s", -1, -250_000_000),
            ("3600s", 3600, 0),
        ]
        for (text, seconds, nanos) in expected {
            let message = read(text, as: type)
            #expect(message?.signed(1) == seconds && message?.signed(2) == nanos, "\(text)")
        }
        for text in [
            "1", "1m", "s", ".5s", "1.s", "1.0000000001s", "999999999999s", "+1s", "1 s", "\"\"", "--1s",
        ] {
            #expect(!problems(text, as: type).isEmpty, "\(text)")
        }
    }

    @Test("YAML 1.1 decides what a bare word is, and quotes make it a string")
    func plainScalars() throws {
        let text =
            "{a: yes, b: off, c: 'yes', d: ~, e: 1_0, f: 0o7, g: .inf, h: 1.5.6, i: -, j: 2001-01-01, k: \"12\"}"
        let node = try YAMLText.parse(Array(text.utf8), source: 0).get()
        guard case .object(let members) = node.content else {
            throw TextSyntaxError(position: node.position, text: "")
        }
        let kinds = members.map { "\($0.key)=\($0.value.kindName)" }.joined(separator: " ")
        #expect(
            kinds == "a=a boolean b=a boolean c=a string d=null e=a string f=a number g=a number h=a string "
                + "i=a string j=a string k=a string")
    }

    @Test("Aliases are expanded, within the bound of values")
    func aliases() {
        let message = read("node: {metadata: {a: &x {k: v}, b: *x}}")
        #expect(message?.message(1)?.message(3)?.entries(1).map(\.key) == ["a", "b"])
        var bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1..<9 {
            bomb +=
                "a\(level): &a\(level) ["
                + Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ") + "]\n"
        }
        #expect(problems(bomb).first?.hasSuffix("more than 2000000 values, aliases expanded") == true)
    }

    @Test("Depth is bounded in JSON, YAML and binary")
    func depth() {
        let json = String(repeating: "{\"a\":", count: 3000) + "1" + String(repeating: "}", count: 3000)
        #expect(problems(json, as: XDS.Struct.messageType).first?.contains("nested deeper") == true)
        let yaml = String(repeating: "[", count: 3000)
        #expect(problems(yaml, as: XDS.ListValue.messageType).first?.contains("nested deeper") == true)
        var bytes: [UInt8] = []
        for _ in 0..<90 { bytes = [0x32] + length(bytes) + bytes }
        var found = ConfigProblems()
        #expect(WireReader.read(bytes, as: XDS.Value.messageType, problems: &found) == nil)
    }

    private func length(_ bytes: [UInt8]) -> [UInt8] {
        bytes.count < 128 ? [UInt8(bytes.count)] : [UInt8(bytes.count & 127) | 128, UInt8(bytes.count >> 7)]
    }

    @Test("JSON with surrogate pairs, escapes and blank space is read")
    func jsonText() {
        let text = " \t{ \"node\" : { \"id\" : \"\\u0041\\ud83d\\ude00\\n\\/\" } }\r\n"
        #expect(read(text)?.message(1)?.text(1) == "A😀\n/")
        for bad in ["{\"a\":\"\\ud83d\"}", "{\"a\":\"\\x\"}", "{\"a\":01}", "{\"a\":1,}"] {
            var json = JSONText(Array(bad.utf8), source: 0)
            #expect(throws: TextSyntaxError.self, "\(bad)") { try json.parseWhole().get() }
        }
    }

    @Test(
        "What stands in a text again and again is one message, and all that follows it stands where it stands"
    )
    func repeats() throws {
        let clusters = (0..<5).map { number in
            """
            {"name": "cluster-\(number)",
              "circuit_breakers": {"thresholds": [
                {"max_requests": 7, "max_retries": 2}
              ]}, "connect_timeout": "5s"}
            """
        }
        let odd = #", {"name": "odd", "circuit_breakers": {"thresholds": [{"max_requests": 8}]}}"#
        let text = #"{"static_resources": {"clusters": ["# + clusters.joined(separator: ", ") + odd + "]}}"
        func read(_ sharesRepeats: Bool) throws -> (ConfigMessage, [ConfigMessage]) {
            let message = try #require(
                JSONReader.read(
                    Array(text.utf8), as: XDS.Bootstrap.messageType, source: 1, bounds: .standard,
                    sharesRepeats: sharesRepeats))
            let statics = try #require(message.message(XDS.Bootstrap.staticResources))
            return (message, statics.messages(XDS.BootstrapStaticResources.clusters))
        }
        let ((alone, aloneClusters), (shared, sharedClusters)) = (try read(false), try read(true))
        #expect(alone == shared)
        let places = { (clusters: [ConfigMessage]) in
            Set(clusters.map { $0.message(XDS.Cluster.circuitBreakers)?.storage?.address })
        }
        #expect(places(aloneClusters).count == 6 && places(sharedClusters).count == 2)
        for (one, other) in zip(aloneClusters, sharedClusters) {
            for number in [XDS.Cluster.name, XDS.Cluster.circuitBreakers, XDS.Cluster.connectTimeout] {
                #expect(one.position(of: number) == other.position(of: number))
            }
        }
    }

    @Test("JSON that is read straight away says the same as by way of a tree, positions included")
    func straightJSON() throws {
        func compare(_ bytes: [UInt8], isTaken: Bool) {
            let type = XDS.Bootstrap.messageType
            var problems = ConfigProblems()
            _ = problems.addSource("f")
            let tree = TextReader.readTree(bytes, as: type, source: 1, problems: &problems)
            let straight = JSONReader.read(bytes, as: type, source: 1, bounds: .standard)
            let text = Comment(rawValue: String(decoding: bytes.prefix(400), as: UTF8.self))
            #expect((straight != nil) == isTaken, text)
            if let straight { #expect(tree.map { "\($0)" } == "\(straight)", text) }
        }
        for name in Examples.names { compare(Examples.json(name), isTaken: true) }
        let cluster = { (text: String) in Array("{\"static_resources\": {\"clusters\": [{\(text)}]}}".utf8) }
        for text in [
            #""name": "a\u0041", "connectTimeout": "0.25s", "lb_policy": "RANDOM""#,
            #""connect_timeout": "-1.5s", "name": "ü", "type": 0"#,
            #""circuit_breakers": {"thresholds": [{"max_requests": "7"}, {"max_requests": 1e3}, {}]}"#,
            #""common_lb_config": {"healthy_panic_threshold": {"value": 1.5}}, "lb_policy": "ROUND_ROBIN""#,
            "\n\t\"load_assignment\":\r\n {\"endpoints\": [],\n \"cluster_name\":\"\"}",
            #""metadata": {"filter_metadata": {"x": {"y": [1, null, "z", {"a": true}]}}}"#,
        ] { compare(cluster(text), isTaken: true) }
        for text in [
            #""name": "a", "name": "b""#, #""name": null"#, #""nothing": 1"#, #""name": 1"#,
            #""lb_policy": "NONE""#, #""connect_timeout": "1""#, #""name": "a",""#, #""name": "a"}"#,
            #""circuit_breakers": {"thresholds": [{"max_requests": 4294967296}]}"#,
            #""circuit_breakers": {"thresholds": [{"max_requests": 01}]}"#,
            #""load_assignment": []"#, "\"name\": \"\u{1}\"",
        ] { compare(cluster(text), isTaken: false) }
    }

    @Test("A field that is null is not set, and an empty text is an empty message")
    func nothing() {
        #expect(read("node: null\nadmin: ~")?.fields.isEmpty == true)
        #expect(read("")?.fields.isEmpty == true)
        #expect(read("# nothing\n")?.fields.isEmpty == true)
        #expect(read("{}")?.fields.isEmpty == true)
    }

    @Test("Merging replaces scalars, merges messages, appends to lists and replaces map entries")
    func merge() throws {
        var first = try #require(
            read(
                "{node: {id: a, cluster: b, metadata: {k: 1, l: 2}}, static_resources: {clusters: [{name: a}]}}"
            ))
        let second = try #require(
            read("{node: {id: c, metadata: {l: 3}}, static_resources: {clusters: [{name: b}]}}"))
        first.merge(second)
        let expected = read(
            "{node: {id: c, cluster: b, metadata: {k: 1, l: 3}}, static_resources: {clusters: [{name: a}, {name: b}]}}"
        )
        #expect(first == expected)
    }

    @Test("Lists of the table are bounded and their elements checked")
    func elementRules() {
        let host = XDS.VirtualHost.messageType
        #expect(problems("{name: a}", as: host) == ["f:1:1: domains: needs at least 1 element"])
        #expect(
            problems("{name: a, domains: [\"a\\x01\"]}", as: host)
                == ["f:1:11: domains[0]: holds a control character, which a header value cannot"])
        let mutation = "{header: {key: \"a b\", value: c}}"
        #expect(problems(mutation, as: XDS.HeaderValueOption.messageType).count == 1)
    }
}
