import AdminAPI
import ArgumentParser
import MeshConfig

/// `martlet get KIND [NAME]`: the resources in force.
struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "get", abstract: "Shows resources in force, with their status.")

    @OptionGroup var control: ControlOptions

    @Argument(help: "The kind, such as Service or httproutes.")
    var kind: String

    @Argument(help: "The name; all of the kind if absent.")
    var name: String?

    @Option(name: .shortAndLong, help: "The namespace; all if absent, 'default' with a name.")
    var namespace: String?

    @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
    var output = OutputFormat.table

    func run() async throws {
        guard let known = ResourceKind(typed: kind) else {
            let kinds = ResourceKind.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("'\(kind)' is not a kind; write one of \(kinds)")
        }
        let client = try control.client()
        let base = "/api/v1/resources/\(known.rawValue)"
        let items: [JSONValue]
        if let name {
            guard let id = ServiceID.path(namespace ?? "default", name) else {
                throw ValidationError("'\(name)' is not a name")
            }
            let item = try client.get("\(base)/\(id)", as: JSONValue.self)
            if let text = try Output.encoded(item, as: output) { return Output.line(text) }
            items = [item]
        } else {
            let path = namespace.map { "\(base)/\($0)" } ?? base
            let list = try client.get(path, as: ResourceList.self)
            if let text = try Output.encoded(list, as: output) { return Output.line(text) }
            items = list.items
        }
        guard !items.isEmpty else { return Output.line("no \(known.rawValue)") }
        Output.line(Output.table(["NAMESPACE", "NAME", "STATUS", "SOURCE"], items.map(row)))
    }

    private func row(_ item: JSONValue) -> [String] {
        var conditions: [String] = []
        if case .array(let list) = item["status"]?["conditions"] {
            conditions = list.compactMap { $0["type"]?.text }
        }
        return [
            item["metadata"]?["namespace"]?.text ?? "", item["metadata"]?["name"]?.text ?? "",
            conditions.last ?? "", item["status"]?["source"]?.text ?? "",
        ]
    }
}

extension ServiceID {
    /// `NAMESPACE/NAME` for a path; resource names may have dots, so this is wider than a service's name.
    fileprivate static func path(_ namespace: String, _ name: String) -> String? {
        let isGood = (namespace + name).utf8.allSatisfy {
            (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d || $0 == 0x2e
        }
        return isGood && !namespace.isEmpty && !name.isEmpty ? "\(namespace)/\(name)" : nil
    }
}
