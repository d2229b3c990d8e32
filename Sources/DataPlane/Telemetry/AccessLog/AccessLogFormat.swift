import HTTPModel
import MeshPrimitives

/// Why a format string is refused: shown behind the path of its field.
public struct FormatError: Error, Equatable, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// A value of a JSON format, as the configuration gives it.
public indirect enum JSONTemplate: Equatable, Sendable {
    case object([(key: String, value: JSONTemplate)])
    case list([JSONTemplate])
    /// Text with operators.
    case string(String)
    case number(Double)
    case bool(Bool)
    case null

    public static func == (left: Self, right: Self) -> Bool {
        switch (left, right) {
        case (.object(let a), .object(let b)):
            a.count == b.count && zip(a, b).allSatisfy { $0.key == $1.key && $0.value == $1.value }
        case (.list(let a), .list(let b)): a == b
        case (.string(let a), .string(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.bool(let a), .bool(let b)): a == b
        case (.null, .null): true
        case (.object, _), (.list, _), (.string, _), (.number, _), (.bool, _), (.null, _): false
        }
    }
}

/// A format string of access logs and header values, compiled to a list of operators. Rendering makes one
/// buffer for the line and no strings (but for IPv6 addresses).
public final class AccessLogFormat: Sendable {
    /// What stands for a value that is not there.
    public enum Missing: Sendable { case dash, nothing }

    private enum Part: Sendable, BitwiseCopyable {
        /// A range of `literals`.
        case literal(start: Int32, count: Int32)
        case operation(Operation)
        /// A JSON value of its own: a number, `null`, or a string in quotes.
        case jsonValue(Operation)
        /// Within the quotes of a JSON string.
        case jsonFragment(Operation)

        var operation: Operation? {
            switch self {
            case .literal: nil
            case .operation(let operation), .jsonValue(let operation), .jsonFragment(let operation): operation
            }
        }
    }

    struct Operation: Sendable, BitwiseCopyable {
        var kind: OperatorKind
        /// Of `fields`; the second one is asked if the first is not there. -1: none.
        var field: Int16 = -1
        var alternative: Int16 = -1
        /// Of `times`.
        var time: Int16 = 0
        /// Bytes shown at the most; -1: all.
        var lengthMax: Int32 = -1
    }

    private let parts: [Part]
    private let literals: StableBytes
    private let fields: [FormatField]
    private let times: [TimeFormat]
    private let missing: Missing
    public let needs: LogNeeds

    /// Envoy's default line.
    public static let defaultText =
        "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
        + "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
        + "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" "
        + "\"%UPSTREAM_HOST%\"\n"

    /// A line of text as it is written, line end and all.
    public convenience init(text: String, missing: Missing = .dash) throws(FormatError) {
        var compiler = Compiler()
        try compiler.add(text: text)
        self.init(compiler, missing: missing)
    }

    /// The value of a header field that the configuration adds: what is missing leaves nothing, and a value that comes
    /// out empty is not to be added.
    public convenience init(headerValue: String) throws(FormatError) {
        try self.init(text: headerValue, missing: .nothing)
    }

    /// One JSON object on a line. Keys are sorted, as Envoy's come out. A value that is one operator and nothing else
    /// keeps its type: numbers are numbers, what is missing is `null`.
    public convenience init(json: [(key: String, value: JSONTemplate)]) throws(FormatError) {
        var compiler = Compiler()
        try compiler.add(json: .object(json), depth: 0)
        compiler.add(literal: "\n")
        self.init(compiler, missing: .dash)
    }

    private init(_ compiler: Compiler, missing: Missing) {
        (parts, fields, times) = (compiler.parts, compiler.fields, compiler.times)
        needs = compiler.parts.reduce(into: []) { needs, part in
            if let operation = part.operation { needs.formUnion(LogNeeds(operation.kind)) }
        }
        literals = StableBytes(compiler.literals)
        self.missing = missing
    }

    /// Names of the answers' fields that it shows, in lower case; without those that the record has.
    public var answerNames: [String] {
        var names: Set<String> = []
        for part in parts {
            guard let operation = part.operation, operation.kind == .responseField else { continue }
            for index in [operation.field, operation.alternative] where index >= 0 {
                let field = fields[Int(index)]
                guard field.pseudo == .none, field.known != .xEnvoyUpstreamServiceTime else { continue }
                names.insert(literals.view[Int(field.start)..<Int(field.start + field.count)].text)
            }
        }
        return names.sorted()
    }

    /// No operators: always the same bytes.
    public var isConstant: Bool {
        parts.allSatisfy { if case .literal = $0 { true } else { false } }
    }

    /// Appends one rendering. Heads that there are not have `length` 0.
    public func append(
        _ record: borrowing ExchangeRecord, request: borrowing @_addressable MessageHead,
        _ requestBytes: ByteView,
        response: borrowing @_addressable MessageHead, _ responseBytes: ByteView, _ texts: ExchangeTexts,
        to output: inout [UInt8]
    ) {
        var line = LogBuffer()
        append(record, request, requestBytes, response, responseBytes, texts, &line)
        output.append(line.view)
    }

    private func append(
        _ record: borrowing ExchangeRecord, _ request: borrowing @_addressable MessageHead,
        _ requestBytes: ByteView, _ response: borrowing @_addressable MessageHead, _ responseBytes: ByteView,
        _ texts: ExchangeTexts, _ output: inout LogBuffer
    ) {
        let literals = literals.view
        for part in parts {
            let start = output.count
            switch part {
            case .literal(let offset, let count):
                output.append(literals[Int(offset)..<Int(offset + count)])
            case .operation(let operation):
                let value = self.value(
                    operation, record, request, requestBytes, response, responseBytes, texts, &output)
                if value == .missing, missing == .dash { output.append(UInt8(ascii: "-")) }
            case .jsonFragment(let operation):
                let value = self.value(
                    operation, record, request, requestBytes, response, responseBytes, texts, &output)
                if value == .missing {
                    output.append(UInt8(ascii: "-"))
                } else {
                    JSONText.escape(&output, from: start)
                }
            case .jsonValue(let operation):
                let value = self.value(
                    operation, record, request, requestBytes, response, responseBytes, texts, &output)
                switch value {
                case .missing: output.append(literal: "null")
                case .number: break
                case .text:
                    JSONText.escape(&output, from: start)
                    JSONText.quote(&output, from: start)
                }
            }
        }
    }

    private func value(
        _ operation: Operation, _ record: borrowing ExchangeRecord,
        _ request: borrowing @_addressable MessageHead,
        _ requestBytes: ByteView, _ response: borrowing @_addressable MessageHead, _ responseBytes: ByteView,
        _ texts: ExchangeTexts, _ output: inout LogBuffer
    ) -> RenderedValue {
        let start = output.count
        var value: RenderedValue
        switch operation.kind {
        case .requestField:
            value = requestField(operation.field, record, request, requestBytes, texts, &output)
            if value == .missing {
                value = requestField(operation.alternative, record, request, requestBytes, texts, &output)
            }
        case .responseField:
            value = responseField(operation.field, record, response, responseBytes, &output)
            if value == .missing {
                value = responseField(operation.alternative, record, response, responseBytes, &output)
            }
        case .startTime, .emitTime, .peerValidFrom, .peerValidUntil:
            value = time(operation, record, texts, &output)
        default:
            value = record.append(operation.kind, texts, to: &output)
        }
        if operation.lengthMax >= 0, output.count - start > Int(operation.lengthMax) {
            output.truncate(to: start + Int(operation.lengthMax))
            value = .text
        }
        return value
    }

    private func time(
        _ operation: Operation, _ record: borrowing ExchangeRecord, _ texts: ExchangeTexts,
        _ output: inout LogBuffer
    ) -> RenderedValue {
        let nanoseconds: Int64? =
            switch operation.kind {
            case .startTime: record.startedAt
            case .emitTime: record.startedAt + max(record.ended, 0)
            case .peerValidFrom: texts.downstreamPeerValidFrom.map { $0 * 1_000_000_000 }
            default: texts.downstreamPeerValidUntil.map { $0 * 1_000_000_000 }
            }
        guard let nanoseconds else { return .missing }
        times[Int(operation.time)].append(nanoseconds, to: &output)
        return .text
    }

    private func requestField(
        _ index: Int16, _ record: borrowing ExchangeRecord, _ head: borrowing @_addressable MessageHead,
        _ bytes: ByteView,
        _ texts: ExchangeTexts, _ output: inout LogBuffer
    ) -> RenderedValue {
        guard index >= 0 else { return .missing }
        let field = fields[Int(index)]
        let own: ByteView? =
            switch field.known {
            case .xRequestID: texts.requestID
            case .xForwardedFor: texts.forwardedFor
            case .xForwardedProto: texts.forwardedProto
            case .traceparent: texts.traceparent
            case .xEnvoyOriginalPath: texts.originalPath
            default:
                switch field.pseudo {
                case .path: texts.sentPath
                case .authority: texts.sentAuthority
                case .none, .method, .scheme, .status: nil
                }
            }
        if let own, !own.isEmpty {
            output.append(own)
            return .text
        }
        guard head.length > 0 else { return .missing }
        let range: ByteRange
        switch field.pseudo {
        case .method: range = head.methodToken
        case .path: range = head.path
        case .authority: range = head.authority
        case .scheme:
            output.append(literal: record.downstreamTLS == .none ? "http" : "https")
            return .text
        case .status: return .missing
        case .none: return self.field(field, head, bytes, &output)
        }
        guard !range.isEmpty else { return .missing }
        output.append(bytes[range.range])
        return .text
    }

    private func responseField(
        _ index: Int16, _ record: borrowing ExchangeRecord, _ head: borrowing @_addressable MessageHead,
        _ bytes: ByteView,
        _ output: inout LogBuffer
    ) -> RenderedValue {
        guard index >= 0 else { return .missing }
        let field = fields[Int(index)]
        if field.pseudo == .status {
            guard record.status > 0 else { return .missing }
            output.append(decimal: Int(record.status))
            return .text
        }
        if field.known == .xEnvoyUpstreamServiceTime, record.upstreamServiceTime >= 0 {
            output.append(decimal: Int(record.upstreamServiceTime / 1_000_000))
            return .text
        }
        guard head.length > 0, field.pseudo == .none else { return .missing }
        return self.field(field, head, bytes, &output)
    }

    private func field(
        _ field: FormatField, _ head: borrowing @_addressable MessageHead, _ bytes: ByteView,
        _ output: inout LogBuffer
    ) -> RenderedValue {
        let value: ByteView? =
            if field.known != .other {
                head.value(of: field.known, in: bytes)
            } else {
                head.value(
                    named: literals.view[Int(field.start)..<Int(field.start + field.count)], in: bytes)
            }
        guard let value else { return .missing }
        output.append(value)
        return .text
    }
}

enum RenderedValue: UInt8 { case missing, number, text }

extension AccessLogFormat {
    /// Builds the list of operators.
    private struct Compiler {
        private(set) var parts: [Part] = []
        private(set) var literals: [UInt8] = []
        private(set) var fields: [FormatField] = []
        private(set) var times: [TimeFormat] = [.iso8601]

        /// Nesting of JSON that is followed.
        private static let depthMax = 16
        /// Operators of one format.
        private static let operatorsMax = 1_000

        mutating func add(literal text: some Sequence<UInt8>) {
            let start = literals.count
            literals += text
            let count = literals.count - start
            guard count > 0 else { return }
            if case .literal(let last, let length) = parts.last, Int(last) + Int(length) == start {
                parts[parts.count - 1] = .literal(start: last, count: length + Int32(count))
            } else {
                parts.append(.literal(start: Int32(start), count: Int32(count)))
            }
        }

        mutating func add(literal text: String) { add(literal: text.utf8) }

        mutating func add(text: String) throws(FormatError) {
            for token in try Self.tokens(text) {
                switch token {
                case .literal(let bytes): add(literal: bytes)
                case .operation(let call): parts.append(.operation(try compile(call)))
                }
            }
        }

        mutating func add(json template: JSONTemplate, depth: Int) throws(FormatError) {
            guard depth < Self.depthMax else { throw FormatError(description: "nested too deeply") }
            switch template {
            case .null: add(literal: "null")
            case .bool(let value): add(literal: value ? "true" : "false")
            case .number(let value):
                // Envoy writes a number with a fraction as a string.
                let text = StatisticsSnapshot.number(value)
                add(literal: value == value.rounded() ? text : "\"\(text)\"")
            case .string(let text): try add(jsonString: text)
            case .list(let values):
                add(literal: "[")
                for (index, value) in values.enumerated() {
                    if index > 0 { add(literal: ",") }
                    try add(json: value, depth: depth + 1)
                }
                add(literal: "]")
            case .object(let members):
                add(literal: "{")
                for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                    if index > 0 { add(literal: ",") }
                    add(literal: StatisticsSnapshot.quoted(member.key) + ":")
                    try add(json: member.value, depth: depth + 1)
                }
                add(literal: "}")
            }
        }

        private mutating func add(jsonString text: String) throws(FormatError) {
            let tokens = try Self.tokens(text)
            if tokens.count == 1, case .operation(let call) = tokens[0] {
                parts.append(.jsonValue(try compile(call)))
                return
            }
            add(literal: "\"")
            for token in tokens {
                switch token {
                case .literal(let bytes):
                    var escaped: [UInt8] = []
                    bytes.withByteView { JSONText.append(content: $0, to: &escaped) }
                    add(literal: escaped)
                case .operation(let call): parts.append(.jsonFragment(try compile(call)))
                }
            }
            add(literal: "\"")
        }

        private mutating func compile(_ call: OperatorCall) throws(FormatError) -> Operation {
            guard parts.count < Self.operatorsMax else {
                throw FormatError(description: "too many operators")
            }
            var operation: Operation
            switch call.name {
            case "REQ", "RESP", "TRAILER":
                guard let argument = call.argument, !argument.isEmpty else {
                    throw FormatError(description: "%\(call.name)% needs the name of a header field")
                }
                let names = argument.split(separator: "?", omittingEmptySubsequences: false)
                guard names.count <= 2, names.allSatisfy({ !$0.isEmpty }) else {
                    throw FormatError(
                        description: "%\(call.name)(\(argument))%: one name, or two with ? between")
                }
                let kind: OperatorKind =
                    call.name == "REQ" ? .requestField : call.name == "RESP" ? .responseField : .trailerField
                operation = Operation(kind: kind)
                operation.field = add(field: String(names[0]))
                if names.count == 2 { operation.alternative = add(field: String(names[1])) }
            case "START_TIME", "EMIT_TIME", "DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_CERT_V_END":
                operation = Operation(kind: Self.time(call.name))
                if let argument = call.argument, !argument.isEmpty {
                    guard let format = TimeFormat(argument) else {
                        throw FormatError(description: "%\(call.name)(\(argument))%: unknown conversion")
                    }
                    times.append(format)
                    operation.time = Int16(times.count - 1)
                }
            case "GRPC_STATUS":
                switch call.argument {
                case nil, "", "CAMEL_STRING": operation = Operation(kind: .grpcStatus)
                case "SNAKE_STRING": operation = Operation(kind: .grpcStatusSnake)
                case "NUMBER": operation = Operation(kind: .grpcStatusNumber)
                default: throw FormatError(description: "%GRPC_STATUS%: CAMEL_STRING, SNAKE_STRING or NUMBER")
                }
            default:
                guard let kind = OperatorKind(call.name) else {
                    throw FormatError(description: "unknown operator %\(call.name)%")
                }
                guard call.argument == nil else {
                    throw FormatError(description: "%\(call.name)% takes no argument")
                }
                operation = Operation(kind: kind)
            }
            if let lengthMax = call.lengthMax { operation.lengthMax = Int32(clamping: lengthMax) }
            return operation
        }

        private static func time(_ name: String) -> OperatorKind {
            switch name {
            case "START_TIME": .startTime
            case "EMIT_TIME": .emitTime
            case "DOWNSTREAM_PEER_CERT_V_START": .peerValidFrom
            default: .peerValidUntil
            }
        }

        private mutating func add(field name: String) -> Int16 {
            fields.append(FormatField(name, in: &literals))
            return Int16(fields.count - 1)
        }

        private struct OperatorCall {
            var name: String
            var argument: String?
            var lengthMax: Int?
        }

        private enum Token {
            case literal([UInt8])
            case operation(OperatorCall)
        }

        /// Splits text at `%NAME%`, `%NAME(ARGUMENT)%` and `%NAME(ARGUMENT):LENGTH%`; `%%` is a percent sign.
        private static func tokens(_ text: String) throws(FormatError) -> [Token] {
            var tokens: [Token] = []
            var literal: [UInt8] = []
            let bytes = Array(text.utf8)
            var index = 0
            while index < bytes.count {
                guard bytes[index] == UInt8(ascii: "%") else {
                    literal.append(bytes[index])
                    index += 1
                    continue
                }
                if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "%") {
                    literal.append(UInt8(ascii: "%"))
                    index += 2
                    continue
                }
                let (call, end) = try operatorCall(bytes, from: index + 1)
                if !literal.isEmpty { tokens.append(.literal(literal)) }
                literal = []
                tokens.append(.operation(call))
                index = end
            }
            if !literal.isEmpty { tokens.append(.literal(literal)) }
            return tokens
        }

        private static func operatorCall(
            _ bytes: [UInt8], from start: Int
        ) throws(FormatError) -> (OperatorCall, end: Int) {
            func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
            let unfinished = FormatError(
                description: "%\(text(start..<min(bytes.count, start + 30))): an operator is not finished")
            var index = start
            while index < bytes.count, isNameByte(bytes[index]) { index += 1 }
            guard index > start, index < bytes.count else { throw unfinished }
            var call = OperatorCall(name: text(start..<index))
            if bytes[index] == UInt8(ascii: "(") {
                guard let close = bytes[index...].firstIndex(of: UInt8(ascii: ")")) else { throw unfinished }
                call.argument = text((index + 1)..<close)
                index = close + 1
            }
            if index < bytes.count, bytes[index] == UInt8(ascii: ":") {
                let digits = index + 1
                index = digits
                while index < bytes.count, bytes[index] >= 0x30, bytes[index] <= 0x39 { index += 1 }
                guard let length = Int(text(digits..<index)) else {
                    throw FormatError(description: "%\(call.name)%: a length is a number")
                }
                call.lengthMax = length
            }
            guard index < bytes.count, bytes[index] == UInt8(ascii: "%") else { throw unfinished }
            return (call, index + 1)
        }

        private static func isNameByte(_ byte: UInt8) -> Bool {
            byte >= 0x41 && byte <= 0x5a || byte >= 0x30 && byte <= 0x39 || byte == UInt8(ascii: "_")
        }
    }
}
