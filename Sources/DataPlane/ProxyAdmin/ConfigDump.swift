import Telemetry
import XDSClient
import XDSDiscovery
import XDSSchema

extension AdminPages {
    /// envoy.admin.v3.ConfigDump, one resource after the other as the reader takes them. Written from the messages as
    /// they came; what is secret in them is written as "[redacted]".
    func configDump(_ request: AdminRequest) -> AdminAnswer {
        for name in ["resource", "mask", "name_regex"] where request.has(name) {
            return .text("\(name) is not supported; without it the dump has everything\n", status: 400)
        }
        var dump = ConfigDump(
            bootstrap: surroundings.bootstrap(), resources: surroundings.resources(),
            status: surroundings.discovery(), started: Self.time(facts.startedAt.seconds),
            withEndpoints: request.has("include_eds"))
        return .json(parts: { dump.next() })
    }
}

/// The dump as a row of pieces, each made when it is asked for.
struct ConfigDump {
    private enum Piece {
        case text(String)
        case message(ConfigMessage)
        /// A resource of the bootstrap, under its key.
        case fixed(isFirst: Bool, key: String, ConfigMessage, started: String)
        case held(isFirst: Bool, HeldResource, started: String)
    }

    private var pieces: [Piece] = []
    private var index = 0

    init(
        bootstrap: ConfigMessage?, resources: [HeldResource], status: DiscoveryStatistics?,
        started: String,
        withEndpoints: Bool
    ) {
        let dynamic = resources.filter { !$0.isStatic }
        let statics = bootstrap?.message(XDS.Bootstrap.staticResources)
        typealias S = XDS.BootstrapStaticResources
        pieces.append(
            .text(#"{"configs":[{"@type":"type.googleapis.com/envoy.admin.v3.BootstrapConfigDump""#))
        if let bootstrap {
            pieces.append(.text(#","bootstrap":"#))
            pieces.append(.message(bootstrap))
        }
        pieces.append(.text(#","last_updated":"\#(started)"}"#))

        open("ClustersConfigDump", status?[.cluster].versionText)
        list("static_clusters", statics?.messages(S.clusters) ?? [], key: "cluster", started)
        list("dynamic_active_clusters", dynamic.filter { $0.kind == .cluster && !$0.isWarming }, started)
        list("dynamic_warming_clusters", dynamic.filter { $0.kind == .cluster && $0.isWarming }, started)
        pieces.append(.text("}"))

        if withEndpoints {
            open("EndpointsConfigDump", nil)
            list("dynamic_endpoint_configs", dynamic.filter { $0.kind == .endpoints }, started)
            pieces.append(.text("}"))
        }

        open("ListenersConfigDump", status?[.listener].versionText)
        list("static_listeners", statics?.messages(S.listeners) ?? [], key: "listener", started)
        list("dynamic_listeners", dynamic.filter { $0.kind == .listener }, started)
        pieces.append(.text("}"))

        open("RoutesConfigDump", nil)
        let routes = (statics?.messages(S.listeners) ?? []).flatMap(Self.inlineRoutes)
        list("static_route_configs", routes, key: "route_config", started)
        list("dynamic_route_configs", dynamic.filter { $0.kind == .routes }, started)
        pieces.append(.text("}"))

        open("SecretsConfigDump", nil)
        list("static_secrets", statics?.messages(S.secrets) ?? [], key: "secret", started)
        list("dynamic_active_secrets", dynamic.filter { $0.kind == .secret && !$0.isWarming }, started)
        list("dynamic_warming_secrets", dynamic.filter { $0.kind == .secret && $0.isWarming }, started)
        pieces.append(.text("}]}\n"))
    }

    mutating func next() -> [UInt8]? {
        guard index < pieces.count else { return nil }
        let piece = pieces[index]
        // Given back as soon as it is written.
        pieces[index] = .text("")
        index += 1
        switch piece {
        case .text(let text): return Array(text.utf8)
        case .message(let message): return JSONWriter.write(message, isIndented: false)
        case .fixed(let isFirst, let key, let message, let started):
            return Self.separated(isFirst) { json in
                if key == "secret" { json.value("name", message.text(XDS.Secret.name)) }
                json.value("last_updated", started)
                json.raw(key, Self.any(message))
            }
        case .held(let isFirst, let resource, let started):
            return Self.separated(isFirst) { Self.append(resource, started, &$0) }
        }
    }

    // MARK: What there is

    private mutating func open(_ type: String, _ version: String?) {
        var text = #",{"@type":"type.googleapis.com/envoy.admin.v3.\#(type)""#
        if let version, !version.isEmpty {
            var quoted: [UInt8] = []
            JSONText.append(string: version, to: &quoted)
            text += #","version_info":"# + String(decoding: quoted, as: UTF8.self)
        }
        pieces.append(.text(text))
    }

    private mutating func list(_ name: String, _ messages: [ConfigMessage], key: String, _ started: String) {
        guard !messages.isEmpty else { return }
        pieces.append(.text(#","\#(name)":["#))
        for (index, message) in messages.enumerated() {
            pieces.append(.fixed(isFirst: index == 0, key: key, message, started: started))
        }
        pieces.append(.text("]"))
    }

    private mutating func list(_ name: String, _ resources: [HeldResource], _ started: String) {
        guard !resources.isEmpty else { return }
        pieces.append(.text(#","\#(name)":["#))
        for (index, resource) in resources.enumerated() {
            pieces.append(.held(isFirst: index == 0, resource, started: started))
        }
        pieces.append(.text("]"))
    }

    /// The route configurations that static listeners hold themselves.
    private static func inlineRoutes(_ listener: ConfigMessage) -> [ConfigMessage] {
        let chains =
            listener.messages(XDS.Listener.filterChains)
            + [listener.message(XDS.Listener.defaultFilterChain)].compactMap { $0 }
        return chains.flatMap { $0.messages(XDS.FilterChain.filters) }.compactMap { filter in
            guard let manager = filter.message(XDS.Filter.typedConfig),
                manager.type == XDS.HttpConnectionManager.messageType
            else { return nil }
            return manager.message(XDS.HttpConnectionManager.routeConfig)
        }
    }

    // MARK: JSON

    private static func separated(_ isFirst: Bool, _ body: (inout JSONOutput) -> Void) -> [UInt8] {
        (isFirst ? [] : [UInt8(ascii: ",")]) + JSONOutput.document(body)
    }

    private static func append(_ resource: HeldResource, _ started: String, _ json: inout JSONOutput) {
        func state(_ key: String, _ json: inout JSONOutput) {
            if !resource.version.isEmpty { json.value("version_info", resource.version) }
            json.value("last_updated", started)
            json.raw(key, any(resource))
        }
        switch resource.kind {
        case .cluster: state("cluster", &json)
        case .endpoints: state("endpoint_config", &json)
        case .routes: state("route_config", &json)
        case .secret:
            json.value("name", resource.name)
            state("secret", &json)
        case .listener:
            json.value("name", resource.name)
            json.object(resource.isWarming ? "warming_state" : "active_state") { state("listener", &$0) }
        case .manifest: break
        }
    }

    private static func any(_ resource: HeldResource) -> [UInt8] {
        var problems = ConfigProblems()
        let message = WireReader.read(resource.bytes, as: resource.kind.messageType, problems: &problems)
        guard let message else { return Array("{}".utf8) }
        return any(message)
    }

    /// As an `Any` is written: the type before the fields.
    private static func any(_ message: ConfigMessage) -> [UInt8] {
        let body = JSONWriter.write(message, isIndented: false)
        let type = Array(#"{"@type":"\#(message.type.typeURL)""#.utf8)
        return body.count > 2 ? type + [UInt8(ascii: ",")] + body.dropFirst() : type + [UInt8(ascii: "}")]
    }
}
