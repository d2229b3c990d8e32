import MeshPrimitives

/// Bytes that stay where they are for as long as their owner lives, so that code on a request's path can look at them
/// without closures.
@safe final class StableBytes: @unchecked Sendable {
    private let base: UnsafeMutablePointer<UInt8>
    /// Good for as long as this object.
    let view: ByteView

    init(_ bytes: [UInt8]) {
        unsafe base = .allocate(capacity: max(bytes.count, 1))
        for (index, byte) in bytes.enumerated() { unsafe (base + index).initialize(to: byte) }
        view = unsafe ByteView(base: base, count: bytes.count)
    }

    deinit { unsafe base.deallocate() }
}
