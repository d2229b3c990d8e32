import XDSSchema

/// A message with the way to it from the root, so that what is wrong with it can be located.
struct ConfigNode {
    let message: ConfigMessage
    let path: ConfigPath

    init(_ message: ConfigMessage, root: String) {
        (self.message, path) = (message, ConfigPath(root: root))
    }

    private init(_ message: ConfigMessage, _ path: ConfigPath) { (self.message, self.path) = (message, path) }

    var type: MessageType { message.type }

    func child(_ number: FieldNumber) -> ConfigNode? {
        message.message(number).map { ConfigNode($0, step(number)) }
    }

    func children(_ number: FieldNumber) -> [ConfigNode] {
        let messages = message.messages(number)
        if messages.isEmpty { return [] }
        var nodes: [ConfigNode] = []
        nodes.reserveCapacity(messages.count)
        for index in messages.indices {
            nodes.append(ConfigNode(messages[index], step(number, .index(index))))
        }
        return nodes
    }

    func entries(_ number: FieldNumber) -> [(key: String, node: ConfigNode)] {
        message.entries(number).compactMap { entry in
            guard case .message(let message) = entry.value else { return nil }
            return (entry.key, ConfigNode(message, step(number, .key(entry.key))))
        }
    }

    private func step(_ number: FieldNumber, _ place: ConfigPath.Place = .field) -> ConfigPath {
        ConfigPath(after: path, field: (message.type, number), place)
    }

    func pathText(_ number: FieldNumber?) -> String {
        (number.map { step($0) } ?? path).text
    }

    func position(_ number: FieldNumber?) -> TextPosition {
        number.map { message.position(of: $0) } ?? message.position
    }
}

/// A step on the way to a message; the text is made only when somebody asks for it.
final class ConfigPath: Sendable {
    enum Place: Sendable {
        case field
        case index(Int)
        case key(String)
    }

    private let parent: ConfigPath?
    private let root: String
    private let field: (type: MessageType, number: FieldNumber)?
    private let place: Place

    init(root: String) { (parent, self.root, field, place) = (nil, root, nil, .field) }

    init(after parent: ConfigPath, field: (type: MessageType, number: FieldNumber), _ place: Place) {
        (self.parent, root, self.field, self.place) = (parent, "", field, place)
    }

    var text: String {
        guard let parent, let field else { return root }
        let before = parent.text
        let name = (before.isEmpty ? "" : before + ".") + field.type.fieldName(field.number)
        switch place {
        case .field: return name
        case .index(let index): return "\(name)[\(index)]"
        case .key(let key): return "\(name)[\"\(key)\"]"
        }
    }
}
