/// Makes resources of documents.
enum ResourceReader {
    static let namespaceDefault = "default"

    /// The resource, or `nil` with the reasons in `errors`.
    static func read(_ document: YAMLNode, file: String, errors: inout [ConfigError]) -> Resource? {
        let reader = DocumentReader(file: file)
        let resource = reader.mapping(document, "") { fields in
            readEnvelope(fields, document: document)
        }
        errors += reader.errors
        guard reader.errors.isEmpty, let resource = resource ?? nil else { return nil }
        return Resource(
            id: resource.id, labels: resource.labels, specification: resource.specification,
            document: document,
            location: ConfigLocation(
                file: file, line: document.position.line, column: document.position.column),
            positions: reader.positions)
    }

    private struct Envelope {
        let id: ResourceID
        let labels: [String: String]
        let specification: Resource.Specification
    }

    private struct Metadata {
        let name: String
        let namespace: String
        let labels: [String: String]
    }

    private static func readEnvelope(_ fields: Fields, document: YAMLNode) -> Envelope? {
        let kind = readKind(fields)
        let metadata = fields.mapping("metadata", isRequired: true) { readMetadata($0, kind: kind) }
        fields.ignore("status")
        guard let kind else {
            fields.ignore("spec")
            return nil
        }
        let named = metadata ?? Metadata(name: "", namespace: namespaceDefault, labels: [:])
        let specification = fields.mapping("spec", isRequired: kind != .mesh) { readSpec($0, kind, named) }
        guard let metadata else { return nil }
        let absent: Resource.Specification? = kind == .mesh ? .mesh(MeshSettings()) : nil
        return (specification ?? absent).map {
            Envelope(
                id: ResourceID(kind: kind, namespace: metadata.namespace, name: metadata.name),
                labels: metadata.labels, specification: $0)
        }
    }

    private static func readKind(_ fields: Fields) -> ResourceKind? {
        let apiVersion = fields.string("apiVersion", isRequired: true)
        guard let text = fields.string("kind", isRequired: true) else { return nil }
        guard let kind = ResourceKind(rawValue: text) else {
            if ResourceKind.later.contains(text) {
                fields.report("kind", "\(text) is not supported yet", "remove the resource")
            } else {
                let names = ResourceKind.allCases.map(\.rawValue)
                let hint = NearestName.among(names, to: text).map { "did you mean '\($0)'?" }
                fields.report(
                    "kind", "'\(text.clipped)' is not a kind",
                    hint ?? "write one of \(names.joined(separator: ", "))")
            }
            return nil
        }
        if let apiVersion, apiVersion != kind.apiVersion {
            fields.report(
                "apiVersion", "'\(apiVersion.clipped)' has no kind \(kind.rawValue) here",
                "write \(kind.apiVersion)")
        }
        return kind
    }

    private static func readMetadata(_ fields: Fields, kind: ResourceKind?) -> Metadata? {
        let check = kind == .service ? Syntax.label : Syntax.subdomain
        let name = fields.checked("name", isRequired: true, check)
        let namespace = fields.checked("namespace", Syntax.label) ?? namespaceDefault
        let labels = fields.texts("labels", checkKey: Syntax.labelKey) ?? [:]
        _ = fields.texts("annotations", checkKey: Syntax.labelKey)
        return name.map { Metadata(name: $0, namespace: namespace, labels: labels) }
    }

    private static func readSpec(
        _ fields: Fields, _ kind: ResourceKind, _ metadata: Metadata
    ) -> Resource.Specification? {
        let namespace = metadata.namespace
        switch kind {
        case .mesh: return MeshSettings.read(fields).map { .mesh($0) }
        case .service: return ServiceSpecification.read(fields).map { .service($0) }
        case .workload:
            return WorkloadSpecification.read(fields, labels: metadata.labels).map { .workload($0) }
        case .httpRoute:
            return HTTPRouteSpecification.read(fields, namespace: namespace).map { .httpRoute($0) }
        case .grpcRoute:
            return GRPCRouteReader.read(fields, namespace: namespace).map { .grpcRoute($0) }
        case .tlsPolicy:
            return Policy.read(fields, namespace: namespace, TLSSettings.read).map { .tlsPolicy($0) }
        case .retryPolicy:
            return Policy.read(fields, namespace: namespace, RetrySettings.read).map { .retryPolicy($0) }
        case .timeoutPolicy:
            return Policy.read(fields, namespace: namespace, TimeoutSettings.read).map { .timeoutPolicy($0) }
        case .circuitBreakerPolicy:
            return Policy.read(fields, namespace: namespace, CircuitBreakerSettings.read).map {
                .circuitBreakerPolicy($0)
            }
        case .healthCheckPolicy:
            return Policy.read(fields, namespace: namespace, HealthCheckSettings.read).map {
                .healthCheckPolicy($0)
            }
        case .loadBalancerPolicy:
            return Policy.read(fields, namespace: namespace, LoadBalancerSettings.read).map {
                .loadBalancerPolicy($0)
            }
        case .rateLimitPolicy:
            return Policy.read(fields, namespace: namespace, RateLimitSettings.read).map {
                .rateLimitPolicy($0)
            }
        case .faultPolicy:
            return Policy.read(fields, namespace: namespace, FaultSettings.read).map { .faultPolicy($0) }
        case .telemetryPolicy:
            return Policy.read(fields, namespace: namespace, TelemetrySettings.read).map {
                .telemetryPolicy($0)
            }
        }
    }
}
