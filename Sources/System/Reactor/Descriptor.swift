/// A file descriptor as plain data. It owns nothing: whoever opened it closes it, once, through its `Kernel`.
public struct Descriptor: Hashable, Sendable, BitwiseCopyable {
    public let rawValue: Int32

    @inlinable public init(rawValue: Int32) { self.rawValue = rawValue }

    @inlinable public static var none: Descriptor { Descriptor(rawValue: -1) }
    @inlinable public var isNone: Bool { rawValue < 0 }
}
