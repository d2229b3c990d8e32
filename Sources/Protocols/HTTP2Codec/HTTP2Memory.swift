import CNGHTTP2
import Glibc

/// Where nghttp2's small pieces of memory come from: lists of free ones by size, so that a stream costs no search of the
/// heap. For the sessions of one thread, which keep it alive; what is free is kept up to `keptMax` bytes.
@safe public final class HTTP2Memory {
    /// Pieces up to this size are kept; nghttp2's records of streams and frames, and its short copies, are below it.
    private static let pieceMax = 1024
    private static let classSize = 64
    /// Of all free pieces together.
    private static let keptMax = 1 << 20
    /// Before each piece stands its class, or `tooLarge`; so many bytes keep the alignment that `malloc` gives.
    private static let headerSize = 16
    private static let tooLarge = UInt64.max

    private let heads: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private var kept = 0

    public init() {
        let count = Self.pieceMax / Self.classSize
        unsafe heads = .allocate(capacity: count)
        unsafe heads.initialize(repeating: nil, count: count)
    }

    deinit {
        for index in 0..<(Self.pieceMax / Self.classSize) {
            while let piece = unsafe heads[index] {
                unsafe heads[index] = piece.load(
                    fromByteOffset: Self.headerSize, as: UnsafeMutableRawPointer?.self)
                unsafe Glibc.free(piece)
            }
        }
        unsafe heads.deallocate()
    }

    fileprivate func take(_ size: Int) -> UnsafeMutableRawPointer? {
        guard size <= Self.pieceMax else { return unsafe make(size, Self.tooLarge) }
        let index = max(size - 1, 0) / Self.classSize
        guard let piece = unsafe heads[index] else {
            return unsafe make((index + 1) * Self.classSize, UInt64(index))
        }
        let start = unsafe piece + Self.headerSize
        unsafe heads[index] = start.load(as: UnsafeMutableRawPointer?.self)
        kept -= (index + 1) * Self.classSize
        return unsafe start
    }

    private func make(_ size: Int, _ sizeClass: UInt64) -> UnsafeMutableRawPointer? {
        guard let piece = unsafe malloc(size + Self.headerSize) else { return nil }
        unsafe piece.storeBytes(of: sizeClass, as: UInt64.self)
        return unsafe piece + Self.headerSize
    }

    fileprivate func give(_ start: UnsafeMutableRawPointer) {
        let piece = unsafe start - Self.headerSize
        let sizeClass = unsafe piece.load(as: UInt64.self)
        let size = unsafe Self.size(of: start)
        guard sizeClass != Self.tooLarge, kept + size <= Self.keptMax else { return unsafe Glibc.free(piece) }
        unsafe start.storeBytes(of: heads[Int(sizeClass)], as: UnsafeMutableRawPointer?.self)
        unsafe heads[Int(sizeClass)] = piece
        kept += size
    }

    /// Bytes that a piece of a class has; 0 for one that is too large for a class.
    fileprivate static func size(of start: UnsafeMutableRawPointer) -> Int {
        let sizeClass = unsafe (start - headerSize).load(as: UInt64.self)
        return sizeClass == tooLarge ? 0 : (Int(sizeClass) + 1) * classSize
    }

    fileprivate func resize(_ start: UnsafeMutableRawPointer, _ size: Int) -> UnsafeMutableRawPointer? {
        let old = unsafe Self.size(of: start)
        guard old > 0 else {
            return unsafe realloc(start - Self.headerSize, size + Self.headerSize).map {
                unsafe $0 + Self.headerSize
            }
        }
        if old >= size { return unsafe start }
        guard let new = unsafe take(size) else { return nil }
        unsafe memcpy(new, start, old)
        unsafe give(start)
        return unsafe new
    }

    /// For `nghttp2_session_server_new3`, which copies it. Valid as long as this object.
    func functions() -> nghttp2_mem {
        unsafe nghttp2_mem(
            mem_user_data: Unmanaged.passUnretained(self).toOpaque(), malloc: allocate, free: release,
            calloc: allocateZeroed, realloc: reallocate)
    }
}

private func memory(_ user: UnsafeMutableRawPointer?) -> HTTP2Memory? {
    unsafe user.map { unsafe Unmanaged<HTTP2Memory>.fromOpaque($0).takeUnretainedValue() }
}

private let allocate: @convention(c) (Int, UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
    size, user in
    unsafe memory(user)?.take(size)
}

private let release: @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?) -> Void = {
    start, user in
    guard let start = unsafe start else { return }
    unsafe memory(user)?.give(start)
}

private let allocateZeroed: @convention(c) (Int, Int, UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? =
    { count, size, user in
        let (length, isTooLong) = count.multipliedReportingOverflow(by: size)
        guard !isTooLong, let start = unsafe memory(user)?.take(length) else { return nil }
        unsafe memset(start, 0, length)
        return unsafe start
    }

private let reallocate:
    @convention(c) (UnsafeMutableRawPointer?, Int, UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = {
        start, size, user in
        guard let start = unsafe start else { return unsafe memory(user)?.take(size) }
        return unsafe memory(user)?.resize(start, size)
    }
