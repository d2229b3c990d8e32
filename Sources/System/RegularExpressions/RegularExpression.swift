import CRE2
import MeshPrimitives

/// A compiled pattern in RE2's syntax. Immutable; any number of threads may match with it at once.
@safe public final class RegularExpression: @unchecked Sendable {
    /// Why a pattern or a substitution is refused.
    public struct Refusal: Error, Equatable, CustomStringConvertible, Sendable {
        public let description: String
    }

    /// Instructions that a program may have (Envoy's `re2.max_program_size.error_level` unless it is set).
    public static var programSizeMax: Int { 100 }
    /// Bytes for the program and for what matching caches; beyond it matching gets slower, and stays linear.
    private static var memoryMax: Int64 { 1 << 20 }
    /// Of `prefix`.
    private static var prefixMax: Int { 255 }

    private let regex: OpaquePointer

    public init(_ pattern: String, programSizeMax: Int = RegularExpression.programSizeMax) throws(Refusal) {
        var error = [CChar](repeating: 0, count: 200)
        let made = unsafe pattern.withByteView { pattern in
            unsafe martlet_regex_make(
                pattern.pointer, pattern.count, Self.memoryMax, &error, error.count)
        }
        guard let made = unsafe made else {
            let reason = String(
                decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw Refusal(description: "'\(pattern)' is not a regular expression: \(reason)")
        }
        let size = unsafe Int(martlet_regex_size(made))
        guard size <= programSizeMax else {
            unsafe martlet_regex_free(made)
            throw Refusal(
                description:
                    "'\(pattern)' needs a program of \(size) instructions, more than \(programSizeMax)")
        }
        unsafe regex = made
    }

    deinit { unsafe martlet_regex_free(regex) }

    /// Whether it matches all of `text`.
    public func matches(_ text: ByteView) -> Bool {
        unsafe martlet_regex_matches(regex, text.pointer, text.count)
    }

    /// What every text that it matches begins with; at most 255 bytes of it.
    public var prefix: [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: Self.prefixMax) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            count = unsafe martlet_regex_prefix(regex, base, buffer.count)
        }
    }

    /// Whether `replace` can use that text: `\0` to `\9` are groups of the pattern, `\\` is a backslash.
    public func accepts(substitution: String) -> Bool {
        substitution.withByteView { unsafe martlet_regex_accepts(regex, $0.pointer, $0.count) }
    }

    /// Appends `text` with every match of it replaced; false, and nothing appended, if there is no room.
    public func replace(in text: ByteView, with substitution: ByteView, to output: inout PooledBuffer) -> Bool
    {
        let space = unsafe output.writable
        guard let base = unsafe space.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return false }
        let count = unsafe martlet_regex_replace(
            regex, text.pointer, text.count, substitution.pointer, substitution.count, base, space.count)
        guard count >= 0 else { return false }
        output.commit(count)
        return true
    }
}
