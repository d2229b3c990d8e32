import Glibc

/// A number from errno.h. Text is made when asked for.
public struct SystemErrno: Error, Hashable, Sendable, BitwiseCopyable, CustomStringConvertible {
    public let code: Int32

    @inlinable public init(code: Int32) { self.code = code }

    /// From a result that is the negative errno.
    @inlinable init(negated result: Int) { code = Int32(truncatingIfNeeded: 0 &- result) }

    public var description: String {
        // strerror_r's buffer: "strings of up to 50 bytes or so" in every locale that glibc has.
        var text = [CChar](repeating: 0, count: 128)
        let size = text.count
        guard unsafe strerror_r(code, &text, size) == 0 else { return "errno \(code)" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    public static let addressInUse = SystemErrno(code: EADDRINUSE)
    public static let addressNotAvailable = SystemErrno(code: EADDRNOTAVAIL)
    public static let badDescriptor = SystemErrno(code: EBADF)
    public static let brokenPipe = SystemErrno(code: EPIPE)
    public static let connectionAborted = SystemErrno(code: ECONNABORTED)
    public static let connectionRefused = SystemErrno(code: ECONNREFUSED)
    public static let connectionReset = SystemErrno(code: ECONNRESET)
    public static let fileExists = SystemErrno(code: EEXIST)
    public static let hostUnreachable = SystemErrno(code: EHOSTUNREACH)
    public static let invalidArgument = SystemErrno(code: EINVAL)
    public static let networkDown = SystemErrno(code: ENETDOWN)
    public static let networkUnreachable = SystemErrno(code: ENETUNREACH)
    public static let noBufferSpace = SystemErrno(code: ENOBUFS)
    public static let noMemory = SystemErrno(code: ENOMEM)
    public static let noSuchFile = SystemErrno(code: ENOENT)
    public static let notConnected = SystemErrno(code: ENOTCONN)
    public static let permissionDenied = SystemErrno(code: EACCES)
    public static let timedOut = SystemErrno(code: ETIMEDOUT)
    /// EMFILE: this process has no descriptor left.
    public static let tooManyDescriptors = SystemErrno(code: EMFILE)
    /// ENFILE: the machine has none left.
    public static let tooManyDescriptorsInSystem = SystemErrno(code: ENFILE)
    public static let wouldBlock = SystemErrno(code: EAGAIN)

    /// The process or the machine has run out of something, and a later attempt may succeed: stop accepting for a
    /// moment instead of trying again at once.
    public var isExhaustion: Bool {
        code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM
    }
}
