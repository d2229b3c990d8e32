import MeshModel
import XDSSchema

// envoy.config.trace.v3, envoy.type.tracing.v3
extension ResourceCompiler {
    /// Of a request, or of what environment and API hold no more; Envoy has none.
    private static let tagsMax = 64

    /// The `tracing` block of a connection manager.
    mutating func tracing(_ node: ConfigNode) -> Tracing {
        typealias F = XDS.HttpConnectionManagerTracing
        func share(_ number: FieldNumber) -> Fraction {
            guard let percent = node.message.message(number) else { return .all }
            return Fraction(
                numerator: UInt32(max(0, min(percent.double(XDS.Percent.value), 100)) * 100),
                denominator: 10_000)
        }
        var tracing = Tracing()
        tracing.sampling.client = share(F.clientSampling)
        tracing.sampling.random = share(F.randomSampling)
        tracing.sampling.overall = share(F.overallSampling)
        tracing.tags = tags(node, F.customTags)
        tracing.pathLengthMax = Int(node.message.wrappedUnsigned(F.maxPathTagLength) ?? 256)
        tracing.spawnsUpstreamSpan = node.message.wrappedBool(F.spawnUpstreamSpan) ?? false
        if let provider = node.child(F.provider) { tracing.exporter = exporter(provider) }
        return tracing
    }

    /// The `tracing` block of a route.
    mutating func routeTracing(_ node: ConfigNode) -> RouteTracing {
        typealias F = XDS.RouteTracing
        var tracing = RouteTracing()
        if let client = node.child(F.clientSampling) { tracing.sampling.client = percent(client) }
        if let random = node.child(F.randomSampling) { tracing.sampling.random = percent(random) }
        if let overall = node.child(F.overallSampling) { tracing.sampling.overall = percent(overall) }
        tracing.tags = tags(node, F.customTags)
        return tracing
    }

    private mutating func tags(_ node: ConfigNode, _ number: FieldNumber) -> [TraceTag] {
        typealias T = XDS.CustomTag
        let nodes = node.children(number)
        if nodes.count > Self.tagsMax {
            add("has more than \(Self.tagsMax) elements, which is not supported", at: node, number)
        }
        return nodes.prefix(Self.tagsMax).compactMap { tag in
            let name = tag.message.text(T.tag)
            if name.isEmpty { add("must not be empty", at: tag, T.tag) }
            if let literal = tag.message.message(T.literal) {
                return TraceTag(name: name, value: literal.text(XDS.CustomTagLiteral.value))
            }
            if let field = tag.message.message(T.requestHeader) {
                return TraceTag(
                    name: name, value: field.text(XDS.CustomTagHeader.defaultValue),
                    field: field.text(XDS.CustomTagHeader.name).lowercased())
            }
            guard let environment = tag.message.message(T.environment) else {
                add("needs 'literal', 'environment' or 'request_header'", at: tag)
                return nil
            }
            let value = surroundings.environment(environment.text(XDS.CustomTagEnvironment.name))
            let found = value ?? environment.text(XDS.CustomTagEnvironment.defaultValue)
            return found.isEmpty ? nil : TraceTag(name: name, value: found)
        }
    }

    private mutating func exporter(_ node: ConfigNode) -> TraceExporterSettings? {
        typealias F = XDS.OpenTelemetryConfig
        guard let config = node.child(XDS.TracingHttp.typedConfig) else {
            add("is missing", at: node, XDS.TracingHttp.typedConfig)
            return nil
        }
        guard config.type == F.messageType else {
            add("the type '\(config.type.name)' is not supported here", at: config)
            return nil
        }
        let given = config.message.text(F.serviceName)
        let serviceName = given.isEmpty ? "unknown_service:envoy" : given
        let (overGRPC, overHTTP) = (config.child(F.grpcService), config.child(F.httpService))
        if (overGRPC == nil) == (overHTTP == nil) {
            add("needs either 'grpc_service' or 'http_service'", at: config)
            return nil
        }
        if let overGRPC { return grpc(overGRPC, serviceName) }
        return overHTTP.flatMap { http($0, serviceName) }
    }

    private mutating func grpc(_ node: ConfigNode, _ serviceName: String) -> TraceExporterSettings? {
        guard let target = node.child(XDS.GrpcService.envoyGrpc) else {
            add("is missing", at: node, XDS.GrpcService.envoyGrpc)
            return nil
        }
        typealias G = XDS.GrpcServiceEnvoyGrpc
        let cluster = target.message.text(G.clusterName)
        refer(to: cluster, target, G.clusterName)
        let authority = target.message.text(G.authority)
        var settings = TraceExporterSettings(
            cluster: cluster, serviceName: serviceName,
            transport: .grpc(authority: authority.isEmpty ? cluster : authority))
        settings.fields = node.message.messages(XDS.GrpcService.initialMetadata).map { field($0) }
        if let timeout = node.message.duration(XDS.GrpcService.timeout), timeout > .zero {
            settings.timeout = timeout
        }
        return settings
    }

    private mutating func http(_ node: ConfigNode, _ serviceName: String) -> TraceExporterSettings? {
        typealias U = XDS.HttpUri
        guard let uri = node.child(XDS.HttpService.httpUri) else {
            add("is missing", at: node, XDS.HttpService.httpUri)
            return nil
        }
        let cluster = uri.message.text(U.cluster)
        refer(to: cluster, uri, U.cluster)
        // Where it is sent is the cluster's; the text gives host and path.
        let text = uri.message.text(U.uri)
        guard let start = text.firstRange(of: "://")?.upperBound else {
            add("'\(text)' is not a URL; write one such as http://collector:4318/v1/traces", at: uri, U.uri)
            return nil
        }
        let rest = text[start...]
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let path = rest[slash...]
        var settings = TraceExporterSettings(
            cluster: cluster, serviceName: serviceName,
            transport: .http(host: String(rest[..<slash]), path: path.isEmpty ? "/" : String(path)))
        settings.fields = node.message.messages(XDS.HttpService.requestHeadersToAdd).compactMap {
            $0.message(XDS.HeaderValueOption.header).map { field($0) }
        }
        if let timeout = uri.message.duration(U.timeout), timeout > .zero { settings.timeout = timeout }
        return settings
    }

    private func field(_ message: ConfigMessage) -> TraceExporterSettings.Field {
        TraceExporterSettings.Field(
            name: message.text(XDS.HeaderValue.key).lowercased(), value: message.text(XDS.HeaderValue.value))
    }
}
