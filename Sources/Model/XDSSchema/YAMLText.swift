import CYAML

/// Reads one YAML 1.1 document with positions, through libyaml's events. Plain scalars are resolved as YAML
/// 1.1 does: `n`, `off`, `yes` and their kin are booleans.
@safe struct YAMLText: ~Copyable {
    private enum Event {
        case documentStart
        case streamEnd
        case scalar(String, isPlain: Bool, anchor: String)
        case listStart(anchor: String)
        case objectStart(anchor: String)
        case end
        case alias(String)
        case other
    }

    private struct Anchored {
        var node: TextNode
        var weight: Int
    }

    /// On the heap: libyaml keeps a pointer to it inside of it.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let source: Int
    private let bounds: TextBounds
    private var anchors: [String: Anchored] = [:]
    /// Values made so far, those that aliases repeat included.
    private var nodes = 0
    private var position = TextPosition()

    static func parse(
        _ bytes: [UInt8], source: Int, bounds: TextBounds = .standard
    ) -> Result<TextNode, TextSyntaxError> {
        // libyaml reads from the pointer until the document ends, so that all of it happens in here.
        unsafe bytes.withUnsafeBufferPointer { input in
            var text = YAMLText(source: source, bounds: bounds)
            unsafe yaml_parser_set_input_string(text.parser, input.baseAddress, input.count)
            do throws(TextSyntaxError) {
                return .success(try text.document())
            } catch {
                return .failure(error)
            }
        }
    }

    private init(source: Int, bounds: TextBounds) {
        (self.source, self.bounds) = (source, bounds)
        unsafe parser = .allocate(capacity: 1)
        let isReady = unsafe yaml_parser_initialize(parser) == 1
        precondition(isReady, "libyaml has no memory")
        unsafe yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
    }

    deinit {
        unsafe yaml_parser_delete(parser)
        unsafe parser.deallocate()
    }

    private func error(_ text: String) -> TextSyntaxError { TextSyntaxError(position: position, text: text) }

    /// The only document; an empty text is an empty object.
    private mutating func document() throws(TextSyntaxError) -> TextNode {
        var result: TextNode?
        while true {
            switch try next() {
            case .documentStart:
                guard result == nil else { throw error("a second document; there may be one") }
                result = try node(try next(), depth: 0)
            case .streamEnd:
                let nothing = TextNode(
                    content: .object([]), position: TextPosition(line: 1, column: 1, source: source))
                guard let found = result else { return nothing }
                if case .null = found.content { return nothing }
                return found
            case .scalar, .listStart, .objectStart, .end, .alias, .other:
                continue
            }
        }
    }

    private mutating func node(_ event: Event, depth: Int) throws(TextSyntaxError) -> TextNode {
        nodes += 1
        guard nodes <= bounds.nodesMax else {
            throw error("more than \(bounds.nodesMax) values, aliases expanded")
        }
        guard depth <= bounds.depthMax else { throw error("nested deeper than \(bounds.depthMax) levels") }
        let (start, nodesBefore) = (position, nodes)
        let result: TextNode
        let anchorName: String
        switch event {
        case .scalar(let text, let isPlain, let anchor):
            result = TextNode(content: isPlain ? PlainScalar.resolve(text) : .text(text), position: start)
            anchorName = anchor
        case .listStart(let anchor):
            result = TextNode(content: .list(try elements(depth: depth)), position: start)
            anchorName = anchor
        case .objectStart(let anchor):
            result = TextNode(content: .object(try members(depth: depth)), position: start)
            anchorName = anchor
        case .alias(let name):
            guard let anchored = anchors[name] else {
                throw error("the alias '*\(name.clipped)' has no anchor")
            }
            nodes += anchored.weight
            return anchored.node
        case .documentStart, .streamEnd, .end, .other:
            throw error("a value is expected")
        }
        if !anchorName.isEmpty {
            anchors[anchorName] = Anchored(node: result, weight: nodes - nodesBefore + 1)
        }
        return result
    }

    private mutating func elements(depth: Int) throws(TextSyntaxError) -> [TextNode] {
        var elements: [TextNode] = []
        while true {
            let event = try next()
            if case .end = event { return elements }
            elements.append(try node(event, depth: depth + 1))
        }
    }

    private mutating func members(depth: Int) throws(TextSyntaxError) -> [TextNode.Member] {
        var members: [TextNode.Member] = []
        while true {
            let event = try next()
            let keyPosition = position
            switch event {
            case .end:
                return members
            case .scalar(let key, _, _):
                let value = try node(try next(), depth: depth + 1)
                members.append(TextNode.Member(key: key, position: keyPosition, value: value))
            case .documentStart, .streamEnd, .listStart, .objectStart, .alias, .other:
                throw error("a key must be plain text")
            }
        }
    }

    private mutating func next() throws(TextSyntaxError) -> Event {
        var event = unsafe yaml_event_t()
        guard unsafe yaml_parser_parse(parser, &event) == 1 else {
            position = unsafe Self.position(parser.pointee.problem_mark, source: source)
            let problem = unsafe parser.pointee.problem.map { unsafe String(cString: $0) }
            throw error("not YAML: \(problem ?? "unreadable")")
        }
        defer { unsafe yaml_event_delete(&event) }
        position = unsafe Self.position(event.start_mark, source: source)
        switch unsafe event.type {
        case YAML_DOCUMENT_START_EVENT:
            return .documentStart
        case YAML_STREAM_END_EVENT:
            return .streamEnd
        case YAML_SCALAR_EVENT:
            return try unsafe scalar(event)
        case YAML_SEQUENCE_START_EVENT:
            try unsafe refuseTag(event.data.sequence_start.tag)
            return unsafe .listStart(anchor: Self.text(event.data.sequence_start.anchor))
        case YAML_MAPPING_START_EVENT:
            try unsafe refuseTag(event.data.mapping_start.tag)
            return unsafe .objectStart(anchor: Self.text(event.data.mapping_start.anchor))
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT:
            return .end
        case YAML_ALIAS_EVENT:
            return unsafe .alias(Self.text(event.data.alias.anchor))
        default:
            return .other
        }
    }

    private func scalar(_ event: yaml_event_t) throws(TextSyntaxError) -> Event {
        let scalar = unsafe event.data.scalar
        let isTaggedString = unsafe Self.text(scalar.tag) == "tag:yaml.org,2002:str"
        if !isTaggedString { try unsafe refuseTag(scalar.tag) }
        let text = unsafe String(
            decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
        let isPlain = unsafe scalar.style == YAML_PLAIN_SCALAR_STYLE && !isTaggedString
        return unsafe .scalar(text, isPlain: isPlain, anchor: Self.text(scalar.anchor))
    }

    private func refuseTag(_ tag: UnsafeMutablePointer<yaml_char_t>?) throws(TextSyntaxError) {
        let text = unsafe Self.text(tag)
        if !text.isEmpty, text != "!" { throw error("the tag '\(text.clipped)' is not supported") }
    }

    private static func text(_ characters: UnsafeMutablePointer<yaml_char_t>?) -> String {
        guard let characters = unsafe characters else { return "" }
        return unsafe String(cString: characters)
    }

    private static func position(_ mark: yaml_mark_t, source: Int) -> TextPosition {
        TextPosition(line: mark.line + 1, column: mark.column + 1, source: source)
    }
}

/// YAML 1.1's types of plain scalars (yaml.org/type).
enum PlainScalar {
    static func resolve(_ text: String) -> TextNode.Content {
        guard let first = text.utf8.first else { return .null }
        switch text {
        case "~", "null", "Null", "NULL": return .null
        case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON": return .bool(true)
        case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF": return .bool(false)
        case ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF": return .double(.infinity)
        case "-.inf", "-.Inf", "-.INF": return .double(-.infinity)
        case ".nan", ".NaN", ".NAN": return .double(.nan)
        default: break
        }
        let isNumeric = (0x30...0x39).contains(first) || "+-.".utf8.contains(first)
        return isNumeric ? number(text) ?? .text(text) : .text(text)
    }

    private static func number(_ text: String) -> TextNode.Content? {
        let isNegative = text.hasPrefix("-")
        let digits = isNegative || text.hasPrefix("+") ? text.dropFirst() : text[...]
        guard let first = digits.utf8.first, (0x30...0x39).contains(first) || first == UInt8(ascii: ".")
        else {
            return nil
        }
        let sign = isNegative ? "-" : ""
        if digits.hasPrefix("0x") { return integer(sign, digits.dropFirst(2), radix: 16) }
        if digits.hasPrefix("0o") { return integer(sign, digits.dropFirst(2), radix: 8) }
        if digits.count > 1, first == 0x30, digits.utf8.allSatisfy({ (0x30...0x37).contains($0) }) {
            return integer(sign, digits.dropFirst(), radix: 8)
        }
        if let whole = integer(sign, digits, radix: 10) { return whole }
        guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || "+-.eE".utf8.contains($0) }),
            digits.utf8.contains(where: { (0x30...0x39).contains($0) }),
            let double = Double(sign + digits)
        else { return nil }
        return .double(double)
    }

    private static func integer(_ sign: String, _ digits: Substring, radix: Int) -> TextNode.Content? {
        guard digits.utf8.first.map({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) == true else {
            return nil
        }
        if let value = Int64(sign + digits, radix: radix) { return .integer(value) }
        return sign.isEmpty ? UInt64(digits, radix: radix).map(TextNode.Content.unsigned) : nil
    }
}
