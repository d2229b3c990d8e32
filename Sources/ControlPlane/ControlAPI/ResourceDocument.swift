import AdminAPI
import ConfigCompiler
import MeshConfig

/// Resources as documents: what the operator wrote, and the control plane's `status`.
enum ResourceDocument {
    static func json(_ resource: Resource, conflict: ResourceID?, firstSeen: Int?) -> JSONValue {
        guard case .object(var members) = value(resource.document) else { return .null }
        if case .object(var metadata) = members["metadata"] {
            metadata["namespace"] = .text(resource.id.namespace)
            members["metadata"] = .object(metadata)
        }
        var conditions = [condition("Accepted", "True", "Accepted", "")]
        if let conflict {
            let reason = resource.route == nil ? "OlderPolicy" : "OlderRoute"
            conditions.append(
                condition("Conflicted", "True", reason, "\(conflict) is older and about the same target"))
        }
        members["status"] = .object([
            "conditions": .array(conditions),
            "source": .text("\(resource.location.file):\(resource.location.line)"),
            "sinceRevision": firstSeen.map(JSONValue.integer) ?? .null,
        ])
        return .object(members)
    }

    /// A workload that its sidecar registered, as the resource that an operator would have written.
    static func json(registered workload: Workload) -> JSONValue {
        let instance = workload.id.split(separator: "~").last.map(String.init) ?? workload.id
        return .object([
            "apiVersion": .text(ResourceKind.workload.apiVersion),
            "kind": .text(ResourceKind.workload.rawValue),
            "metadata": .object([
                "name": .text("\(workload.service)-\(instance)"), "namespace": .text(workload.namespace),
            ]),
            "spec": .object([
                "service": .text(workload.service), "address": .text(workload.address),
                "ports": .array(
                    workload.ports.map {
                        .object(["port": .integer($0.port), "advertisedPort": .integer($0.advertisedPort)])
                    }),
                "zone": .text(workload.zone), "meshed": .boolean(workload.isMeshed),
            ]),
            "status": .object([
                "conditions": .array([condition("Accepted", "True", "Registered", "by its sidecar")]),
                "source": .text("proxy \(workload.id)"),
            ]),
        ])
    }

    private static func condition(
        _ type: String, _ status: String, _ reason: String, _ message: String
    ) -> JSONValue {
        .object([
            "type": .text(type), "status": .text(status), "reason": .text(reason), "message": .text(message),
        ])
    }

    private static func value(_ node: YAMLNode) -> JSONValue {
        switch node.content {
        case .sequence(let elements): return .array(elements.map(value))
        case .mapping(let entries):
            return .object(
                Dictionary(entries.map { ($0.key, value($0.value)) }, uniquingKeysWith: { first, _ in first })
            )
        case .scalar(let text, _):
            switch node.resolved {
            case .null, nil: return .null
            case .boolean(let boolean): return .boolean(boolean)
            case .integer(let integer): return .integer(integer)
            case .number(let number): return .number(number)
            case .text: return .text(text)
            }
        }
    }
}
