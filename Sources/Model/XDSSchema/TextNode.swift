/// A value of a YAML or JSON text, before anybody knows what message it is.
public struct TextNode {
    public enum Content {
        case null
        case bool(Bool)
        case integer(Int64)
        /// Above Int64.max.
        case unsigned(UInt64)
        case double(Double)
        case text(String)
        case list([TextNode])
        case object([Member])
    }

    public struct Member {
        public var key: String
        public var position: TextPosition
        public var value: TextNode
    }

    public var content: Content
    public var position: TextPosition

    public init(content: Content, position: TextPosition) {
        (self.content, self.position) = (content, position)
    }

    /// For messages: "a string", "a number", …
    public var kindName: String {
        switch content {
        case .null: "null"
        case .bool: "a boolean"
        case .integer, .unsigned, .double: "a number"
        case .text: "a string"
        case .list: "a list"
        case .object: "an object"
        }
    }
}

/// The text is not YAML or JSON, or exceeds a bound.
public struct TextSyntaxError: Error {
    public var position: TextPosition
    public var text: String
}

/// What a text may be at most.
public struct TextBounds: Sendable {
    var bytesMax = 32 << 20
    /// Of lists and objects within each other.
    var depthMax = 100
    /// Aliases expanded.
    var nodesMax = 2_000_000

    public static let standard = TextBounds()

    /// JSON if it is JSON, else YAML (of which JSON is nearly a part).
    public func parse(_ bytes: [UInt8], source: Int) -> Result<TextNode, TextSyntaxError> {
        guard bytes.count <= bytesMax else {
            return .failure(
                TextSyntaxError(
                    position: TextPosition(line: 1, column: 1, source: source),
                    text: "\(bytes.count) bytes are more than \(bytesMax)"))
        }
        let start = bytes.first { !JSONText.isBlank($0) }
        if start == UInt8(ascii: "{") {
            var json = JSONText(bytes, source: source, bounds: self)
            let result = json.parseWhole()
            if case .success = result { return result }
            let yaml = YAMLText.parse(bytes, source: source, bounds: self)
            if case .success = yaml { return yaml }
            return result
        }
        return YAMLText.parse(bytes, source: source, bounds: self)
    }
}
