import CYAML

/// Reads YAML 1.1 with libyaml. Every bound is here: bytes, documents, depth, and nodes after aliases are expanded.
struct YAMLParser: ~Copyable {
    struct Bounds {
        var bytesMax = 4 << 20
        var documentsMax = 10_000
        var depthMax = 48
        var nodesMax = 200_000
    }

    private let file: String
    private let bounds: Bounds
    /// On the heap: libyaml stores the parser's own address inside it.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private var input = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    private var anchors: [String: YAMLNode] = [:]

    /// The documents of a file in order; empty documents (only comments) are left out.
    static func parse(
        _ bytes: [UInt8], file: String, bounds: Bounds = Bounds()
    ) throws(ConfigError) -> [YAMLNode] {
        guard bytes.count <= bounds.bytesMax else {
            throw ConfigError(
                ConfigLocation(file: file, line: 1, column: 1), path: "",
                problem: "the file has \(bytes.count) bytes, more than \(bounds.bytesMax)",
                remedy: "split it into several files")
        }
        // libyaml keeps the pointer, so that the whole reading happens inside the closure; errors leave as a value.
        let result: Result<[YAMLNode], ConfigError> = bytes.withUnsafeBufferPointer { input in
            var parser = YAMLParser(file: file, bounds: bounds)
            return parser.readStream(input)
        }
        return try result.get()
    }

    private init(file: String, bounds: Bounds) {
        self.file = file
        self.bounds = bounds
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
        precondition(yaml_parser_initialize(parser) == 1, "libyaml has no memory")
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    private mutating func readStream(_ input: UnsafeBufferPointer<UInt8>) -> Result<[YAMLNode], ConfigError> {
        self.input = input
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, input.baseAddress, input.count)
        do throws(ConfigError) {
            return .success(try readDocuments())
        } catch {
            return .failure(error)
        }
    }

    private mutating func readDocuments() throws(ConfigError) -> [YAMLNode] {
        var documents: [YAMLNode] = []
        while true {
            let event = try nextEvent()
            switch event.kind {
            case .streamStart, .documentEnd:
                continue
            case .streamEnd:
                return documents
            case .documentStart:
                anchors.removeAll(keepingCapacity: true)
                let node = try readNode(try nextEvent(), depth: 0)
                guard node.resolved != .null else { continue }
                guard documents.count < bounds.documentsMax else {
                    throw error(
                        node.position, "more than \(bounds.documentsMax) documents", "split the file")
                }
                documents.append(node)
            case .scalar, .sequenceStart, .sequenceEnd, .mappingStart, .mappingEnd, .alias:
                throw error(event.position, "unexpected content", "start a document with '---'")
            }
        }
    }

    private mutating func readNode(_ event: Event, depth: Int) throws(ConfigError) -> YAMLNode {
        guard depth <= bounds.depthMax else {
            throw error(event.position, "nested deeper than \(bounds.depthMax) levels", "flatten it")
        }
        guard !event.hasTag else {
            throw error(event.position, "YAML tags ('!...') are not supported", "remove the tag")
        }
        let node: YAMLNode
        switch event.kind {
        case .scalar(let text, let isPlain):
            node = YAMLNode(position: event.position, content: .scalar(text, isPlain: isPlain))
        case .sequenceStart:
            node = try readSequence(from: event, depth: depth)
        case .mappingStart:
            node = try readMapping(from: event, depth: depth)
        case .alias:
            guard let anchored = anchors[event.anchor] else {
                throw error(
                    event.position, "the alias '*\(event.anchor)' has no anchor before it",
                    "define '&\(event.anchor)' first")
            }
            return anchored
        case .streamStart, .streamEnd, .documentStart, .documentEnd, .sequenceEnd, .mappingEnd:
            throw error(event.position, "a value is missing", "write one")
        }
        guard node.weight <= bounds.nodesMax else {
            throw error(
                event.position, "the document has more than \(bounds.nodesMax) values, aliases expanded",
                "split it, and do not nest aliases")
        }
        if !event.anchor.isEmpty { anchors[event.anchor] = node }
        return node
    }

    private mutating func readSequence(from start: Event, depth: Int) throws(ConfigError) -> YAMLNode {
        var elements: [YAMLNode] = []
        while true {
            let event = try nextEvent()
            if case .sequenceEnd = event.kind { break }
            elements.append(try readNode(event, depth: depth + 1))
        }
        return YAMLNode(position: start.position, content: .sequence(elements))
    }

    private mutating func readMapping(from start: Event, depth: Int) throws(ConfigError) -> YAMLNode {
        var entries: [YAMLNode.Entry] = []
        var lines: [String: Int] = [:]
        while true {
            let event = try nextEvent()
            if case .mappingEnd = event.kind { break }
            guard case .scalar(let key, _) = event.kind, !event.hasTag else {
                throw error(event.position, "a key must be plain text", "write 'key: value'")
            }
            guard key != "<<" else {
                throw error(event.position, "merge keys ('<<') are not supported", "write the keys out")
            }
            if let line = lines.updateValue(event.position.line, forKey: key) {
                throw error(
                    event.position, "the key '\(key.clipped)' is already there, in line \(line)",
                    "keep one of the two")
            }
            let value = try readNode(try nextEvent(), depth: depth + 1)
            entries.append(YAMLNode.Entry(key: key, keyPosition: event.position, value: value))
        }
        return YAMLNode(position: start.position, content: .mapping(entries))
    }

    private func error(_ position: YAMLNode.Position, _ problem: String, _ remedy: String) -> ConfigError {
        ConfigError(
            ConfigLocation(file: file, line: position.line, column: position.column), path: "",
            problem: problem, remedy: remedy)
    }

    // MARK: libyaml's events as values

    private struct Event {
        enum Kind {
            case streamStart, streamEnd, documentStart, documentEnd
            case scalar(String, isPlain: Bool)
            case sequenceStart, sequenceEnd, mappingStart, mappingEnd, alias
        }

        var kind: Kind
        var position: YAMLNode.Position
        var anchor = ""
        var hasTag = false
    }

    private mutating func nextEvent() throws(ConfigError) -> Event {
        var raw = yaml_event_t()
        guard yaml_parser_parse(parser, &raw) == 1 else { throw syntaxError() }
        defer { yaml_event_delete(&raw) }
        let position = YAMLNode.Position(line: raw.start_mark.line + 1, column: raw.start_mark.column + 1)
        var event = Event(kind: .streamEnd, position: position)
        switch raw.type {
        case YAML_STREAM_START_EVENT, YAML_NO_EVENT: event.kind = .streamStart
        case YAML_STREAM_END_EVENT: event.kind = .streamEnd
        case YAML_DOCUMENT_START_EVENT: event.kind = .documentStart
        case YAML_DOCUMENT_END_EVENT: event.kind = .documentEnd
        case YAML_SEQUENCE_END_EVENT: event.kind = .sequenceEnd
        case YAML_MAPPING_END_EVENT: event.kind = .mappingEnd
        case YAML_ALIAS_EVENT:
            event.kind = .alias
            event.anchor = Self.text(raw.data.alias.anchor)
        case YAML_SCALAR_EVENT:
            let scalar = raw.data.scalar
            let text = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            event.kind = .scalar(text, isPlain: scalar.style == YAML_PLAIN_SCALAR_STYLE)
            event.anchor = Self.text(scalar.anchor)
            event.hasTag = scalar.tag != nil
        case YAML_SEQUENCE_START_EVENT:
            event.kind = .sequenceStart
            event.anchor = Self.text(raw.data.sequence_start.anchor)
            event.hasTag = raw.data.sequence_start.tag != nil
        case YAML_MAPPING_START_EVENT:
            event.kind = .mappingStart
            event.anchor = Self.text(raw.data.mapping_start.anchor)
            event.hasTag = raw.data.mapping_start.tag != nil
        default:
            throw error(position, "unexpected content", "see https://yaml.org/spec/1.1/")
        }
        return event
    }

    private static func text(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String {
        guard let pointer else { return "" }
        return String(cString: pointer)
    }

    private static func position(ofByte offset: Int, in input: UnsafeBufferPointer<UInt8>)
        -> YAMLNode.Position
    {
        let before = input.prefix(offset)
        let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
        return YAMLNode.Position(
            line: before.count(where: { $0 == 0x0a }) + 1, column: before.count - lineStart + 1)
    }

    private func syntaxError() -> ConfigError {
        var problem = parser.pointee.problem.map { String(cString: $0) } ?? "this is not YAML"
        if let context = parser.pointee.context { problem += " \(String(cString: context))" }
        var position = YAMLNode.Position(
            line: parser.pointee.problem_mark.line + 1, column: parser.pointee.problem_mark.column + 1)
        var remedy = "check indentation, quotes and colons here and in the line before"
        if parser.pointee.error == YAML_READER_ERROR {
            // The reader counts bytes of the file, not lines.
            position = Self.position(ofByte: parser.pointee.problem_offset, in: input)
            remedy = "save the file as UTF-8 without control characters"
        } else if problem.contains("cannot start any token") {
            remedy = "indent with spaces, not tabs, and quote text that begins with a special character"
        }
        return error(position, problem, remedy)
    }
}
