/// The two ends of a pipe, for bytes that go from socket to socket and are not looked at.
public struct Pipe: Equatable, Sendable, BitwiseCopyable {
    /// Where bytes come out.
    public let output: Descriptor
    /// Where they go in.
    public let input: Descriptor
    /// Bytes that it holds at the most.
    public let capacity: Int
}
