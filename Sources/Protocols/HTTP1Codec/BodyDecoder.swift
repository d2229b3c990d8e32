import HTTPModel
import MeshPrimitives

/// Finds the parts of one body in the bytes behind its head, and where it ends. Holds no bytes: what `next` says
/// to be consumed is never asked for again, so the owner keeps nothing but what it could not pass on.
public struct BodyDecoder: BitwiseCopyable, Sendable {
    public enum Event: Equatable, Sendable {
        /// These bytes of the given view are content; at least one.
        case data(Range<Int>)
        /// Behind the consumed bytes begins a trailer section with at least one field. Either read it with
        /// `HTTP1Parser.parseTrailers` and then call `trailersRead`, or go on with `next`, which checks it and
        /// drops it.
        case trailers
        /// The message is complete; bytes behind the consumed ones belong to the next.
        case end
        case needsMore
        case invalid(HTTP1Error)
    }

    private enum State: UInt8, BitwiseCopyable {
        case finished, failed
        case counted, untilClose
        // A chunk: "size [extension] CRLF data CRLF".
        case size, spaceAfterSize, chunkExtension, sizeLineFeed
        case data, dataReturn, dataLineFeed
        // Behind the last chunk.
        case trailersOrEnd, endLineFeed
        case trailerName, trailerValue, trailerLineFeed
    }

    private var state: State
    private var error = HTTP1Error.bodyCutShort
    private var digits: UInt8 = 0
    private var trailerFields: UInt8 = 0
    /// Bytes of the trailer section so far.
    private var trailerBytes: UInt16 = 0
    /// In a trailer's name: nothing of it has come yet.
    private var isLineStart = true
    /// Bytes that chunk extensions may still have. Data earns them back, so that a long body may have some on each
    /// chunk, but nobody can send extensions for ever.
    private var extensionCredit = Int32(HTTP1Limits.chunkExtensionBytesMax)
    /// Bytes of the body, or of the chunk, that are still to come; while a size is being read, its value so far.
    private var remaining: Int64 = 0

    public init(_ length: BodyLength) {
        switch length {
        case .none: state = .finished
        case .bytes(let count):
            state = count > 0 ? .counted : .finished
            remaining = count
        case .chunked: state = .size
        case .untilClose, .untilStreamEnd: state = .untilClose
        }
    }

    /// All of the message has been consumed.
    public var isFinished: Bool { state == .finished }

    /// The next thing in `bytes`, which begin where the last call stopped consuming. `needsMore` means that all of
    /// them were consumed.
    public mutating func next(_ bytes: ByteView) -> (consumed: Int, event: Event) {
        switch state {
        case .finished: return (0, .end)
        case .failed: return (0, .invalid(error))
        case .untilClose: return bytes.isEmpty ? (0, .needsMore) : (bytes.count, .data(0..<bytes.count))
        case .counted:
            guard !bytes.isEmpty else { return (0, .needsMore) }
            let count = Int(min(Int64(bytes.count), remaining))
            remaining -= Int64(count)
            if remaining == 0 { state = .finished }
            return (count, .data(0..<count))
        case .size, .spaceAfterSize, .chunkExtension, .sizeLineFeed, .data, .dataReturn, .dataLineFeed,
            .trailersOrEnd, .endLineFeed, .trailerName, .trailerValue, .trailerLineFeed:
            return nextOfChunks(bytes)
        }
    }

    /// The owner read the trailer section that `trailers` announced, up to its empty line.
    public mutating func trailersRead() {
        precondition(state == .trailerName && trailerBytes == 0)
        state = .finished
    }

    /// The peer sends nothing more: the end of a body that ends so, else of the connection's use.
    public mutating func connectionEnded() -> Event {
        switch state {
        case .finished: return .end
        case .failed: return .invalid(error)
        case .untilClose:
            state = .finished
            return .end
        case .counted, .size, .spaceAfterSize, .chunkExtension, .sizeLineFeed, .data, .dataReturn,
            .dataLineFeed,
            .trailersOrEnd, .endLineFeed, .trailerName, .trailerValue, .trailerLineFeed:
            return fail(.bodyCutShort)
        }
    }

    private mutating func nextOfChunks(_ bytes: ByteView) -> (consumed: Int, event: Event) {
        var position = 0
        while position < bytes.count {
            if state == .data {
                let count = Int(min(Int64(bytes.count - position), remaining))
                remaining -= Int64(count)
                let credit = Int64(extensionCredit) + Int64(count)
                extensionCredit = Int32(min(credit, Int64(HTTP1Limits.chunkExtensionBytesMax)))
                if remaining == 0 { state = .dataReturn }
                return (position + count, .data(position..<(position + count)))
            }
            if state == .trailersOrEnd, bytes[position] != .carriageReturn {
                state = .trailerName
                return (position, .trailers)
            }
            if let error = read(bytes[position]) { return (position, fail(error)) }
            position += 1
            if state == .finished { return (position, .end) }
        }
        return (position, .needsMore)
    }

    private mutating func fail(_ error: HTTP1Error) -> Event {
        state = .failed
        self.error = error
        return .invalid(error)
    }

    /// Takes one byte that is no data (RFC 9112 section 7.1).
    private mutating func read(_ byte: UInt8) -> HTTP1Error? {
        switch state {
        case .size: return readSize(byte)
        case .spaceAfterSize:
            // White space is for whoever writes an extension behind it, and for nothing else.
            if byte == .semicolon { state = .chunkExtension }
            return byte == .semicolon || byte.isSpaceOrTab
                ? spendCredit() : lineError(byte, .invalidChunkSize)
        case .chunkExtension:
            if byte == .carriageReturn {
                state = .sizeLineFeed
                return nil
            }
            let isText = byte >= .space && byte != .delete || byte == .tab
            return isText ? spendCredit() : lineError(byte, .invalidChunkExtension)
        case .sizeLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = remaining == 0 ? .trailersOrEnd : .data
            digits = 0
            return nil
        case .dataReturn:
            guard byte == .carriageReturn else { return lineError(byte, .invalidChunkEnd) }
            state = .dataLineFeed
            return nil
        case .dataLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = .size
            return nil
        case .trailersOrEnd:
            state = .endLineFeed
            return nil
        case .endLineFeed:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = .finished
            return nil
        case .trailerName, .trailerValue, .trailerLineFeed: return readTrailer(byte)
        case .finished, .failed, .counted, .untilClose, .data: preconditionFailure("no framing in this state")
        }
    }

    private mutating func readSize(_ byte: UInt8) -> HTTP1Error? {
        if let value = byte.hexValue {
            // Four more bits must fit below the sign.
            guard digits < HTTP1Limits.chunkSizeDigitsMax, remaining >> 59 == 0 else {
                return .invalidChunkSize
            }
            remaining = remaining << 4 | Int64(value)
            digits += 1
            return nil
        }
        guard digits > 0 else { return lineError(byte, .invalidChunkSize) }
        switch byte {
        case .carriageReturn: state = .sizeLineFeed
        case .semicolon: state = .chunkExtension
        case .space, .tab: state = .spaceAfterSize
        default: return lineError(byte, .invalidChunkSize)
        }
        return byte == .carriageReturn ? nil : spendCredit()
    }

    private mutating func spendCredit() -> HTTP1Error? {
        extensionCredit -= 1
        return extensionCredit < 0 ? .chunkExtensionsTooLarge : nil
    }

    /// The same language as `FieldSection`, with the same errors in the same places, but nothing is kept.
    private mutating func readTrailer(_ byte: UInt8) -> HTTP1Error? {
        trailerBytes += 1
        if let error = readTrailerByte(byte) { return error }
        // The last line feed is still to come.
        return trailerBytes < HTTP1Limits.trailerBytesMax ? nil : .trailersTooLarge
    }

    private mutating func readTrailerByte(_ byte: UInt8) -> HTTP1Error? {
        switch state {
        case .trailerName where byte == .colon && !isLineStart:
            guard trailerFields < HTTP1Limits.trailerFieldsMax else { return .trailersTooLarge }
            trailerFields += 1
            state = .trailerValue
        case .trailerName where byte == .carriageReturn && isLineStart:
            state = .endLineFeed
        case .trailerName:
            guard byte.isTokenCharacter else { return FieldSection.nameError(byte, isFirst: isLineStart) }
            isLineStart = false
        case .trailerValue where byte == .carriageReturn:
            state = .trailerLineFeed
        case .trailerValue:
            let isText = byte >= .space && byte != .delete || byte == .tab
            return isText ? nil : FieldSection.valueError(byte)
        default:
            guard byte == .lineFeed else { return .bareCarriageReturn }
            state = .trailerName
            isLineStart = true
        }
        return nil
    }

    private func lineError(_ byte: UInt8, _ other: HTTP1Error) -> HTTP1Error {
        StartLine.lineError(byte, other)
    }
}
