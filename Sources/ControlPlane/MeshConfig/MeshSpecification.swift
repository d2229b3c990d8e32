/// A whole set of resources that is right by itself and among its parts.
public struct MeshSpecification: Sendable, Equatable {
    /// One file as it lies on disk; `name` is how errors call it.
    public struct Source: Sendable, Equatable {
        public let name: String
        public let bytes: [UInt8]

        public init(name: String, bytes: [UInt8]) { (self.name, self.bytes) = (name, bytes) }
    }

    /// Ordered by kind, namespace and name.
    public let resources: [Resource]
    public let mesh: MeshSettings
    public let services: [ServiceID: ServiceSpecification]
    private let indexes: [ResourceID: Int]

    /// A mesh of which nothing has been said.
    public static let empty = MeshSpecification(checked: [])

    /// Reads and checks a set of files. Either all of it holds or none.
    public static func read(_ sources: [Source]) throws(ConfigErrors) -> MeshSpecification {
        var errors: [ConfigError] = []
        var resources: [Resource] = []
        for source in sources.sorted(by: { $0.name < $1.name }) {
            do throws(ConfigError) {
                for document in try YAMLParser.parse(source.bytes, file: source.name) {
                    if let resource = ResourceReader.read(document, file: source.name, errors: &errors) {
                        resources.append(resource)
                    }
                }
            } catch {
                errors.append(error)
            }
        }
        // A reference to a service whose own document is broken would be reported as a second error.
        guard errors.isEmpty else { throw ConfigErrors(errors) }
        let checker = SpecificationChecker(resources)
        guard checker.errors.isEmpty else { throw ConfigErrors(checker.errors) }
        return MeshSpecification(checked: resources)
    }

    private init(checked resources: [Resource]) {
        self.resources = resources.sorted { $0.id < $1.id }
        var mesh = MeshSettings()
        var services: [ServiceID: ServiceSpecification] = [:]
        for resource in resources {
            switch resource.specification {
            case .mesh(let settings): mesh = settings
            case .service(let service):
                services[ServiceID(namespace: resource.id.namespace, name: resource.id.name)] = service
            case .workload, .httpRoute, .grpcRoute, .tlsPolicy, .retryPolicy, .timeoutPolicy,
                .circuitBreakerPolicy,
                .healthCheckPolicy, .loadBalancerPolicy, .rateLimitPolicy, .faultPolicy, .telemetryPolicy:
                break
            }
        }
        (self.mesh, self.services) = (mesh, services)
        indexes = Dictionary(
            self.resources.enumerated().map { ($0.element.id, $0.offset) },
            uniquingKeysWith: { first, _ in first })
    }

    public subscript(id: ResourceID) -> Resource? { indexes[id].map { resources[$0] } }

    public static func == (left: MeshSpecification, right: MeshSpecification) -> Bool {
        left.resources == right.resources
    }
}
