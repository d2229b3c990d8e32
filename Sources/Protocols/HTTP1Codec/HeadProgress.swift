/// Where a head that came in pieces was read up to, so that each byte is looked at once however slowly they come.
/// Belongs to one head: begin the next with a new one. The bytes must begin at the same place each time, and what
/// was seen of them must not have changed.
public struct HeadProgress: BitwiseCopyable, Sendable {
    enum Stage: UInt8, BitwiseCopyable {
        case start
        // The request line.
        case method, target, requestVersion
        // The status line.
        case statusVersion, reason
        // The field section.
        case fieldName, fieldValue
    }

    var stage = Stage.start
    /// The first byte that has not been looked at.
    var position: UInt16 = 0
    /// Where the line begins that `position` is in.
    var lineStart: UInt16 = 0
    /// Where the stage's part of the line begins: the target, the version; in a field line the colon.
    var mark: UInt16 = 0

    public init() {}

    /// The empty lines before a request line were all that came so far: nobody has asked for anything yet.
    public var isAtStart: Bool { stage == .start || (stage == .method && position == lineStart) }

    @inline(__always) mutating func enter(_ stage: Stage, at position: Int) {
        self.stage = stage
        self.position = UInt16(position)
        mark = self.position
    }

    @inline(__always) mutating func pause(at position: Int) -> HeadResult {
        self.position = UInt16(position)
        return .needsMore
    }
}

public enum HeadResult: Equatable, Sendable, BitwiseCopyable {
    /// `head.length` says how many bytes it took.
    case complete
    /// Call again with these bytes and those that follow.
    case needsMore
    case invalid(HTTP1Error)
}
