import HTTPModel
import MeshPrimitives

/// One answer as the proxy's own clients read it (health checks, trace export): interim answers are passed over, and of
/// the body nothing is kept.
public struct AnswerReader {
    public enum Progress: Equatable {
        case needsMore
        case ended
        /// What to say about it.
        case invalid(String)
    }

    /// Of one answer, heads and body: who says more is taken to be broken.
    public static let bytesMax = 1 << 20

    private let method: Method
    /// The final one, once `hasHead`.
    public private(set) var head = MessageHead()
    private var progress = HeadProgress()
    private var body: BodyDecoder?
    private var unread: [UInt8] = []
    private var bytesTotal = 0

    /// - Parameter method: the request's; to HEAD there is no body.
    public init(to method: Method) {
        self.method = method
    }

    public var hasHead: Bool { body != nil }
    /// Nothing has come yet.
    public var isEmpty: Bool { bytesTotal == 0 }
    /// After the end: the connection may carry another request. Bytes behind the answer forbid it, since nobody has
    /// asked for them.
    public var keepsConnection: Bool { head.keepsAlive && unread.isEmpty }

    /// - Parameter onHead: is given the final head and the bytes that its places are of.
    public mutating func take(_ bytes: ByteView, onHead: (MessageHead, ByteView) -> Void) -> Progress {
        bytesTotal += bytes.count
        guard bytesTotal <= Self.bytesMax else { return .invalid("an answer that is too long") }
        unread += bytes.bytes
        while body == nil {
            let parsed = unread.withByteView {
                HTTP1Parser.parseResponse(
                    $0, to: method, into: &head, progress: &progress, limits: HTTP1Limits())
            }
            switch parsed {
            case .needsMore: return .needsMore
            case .invalid(let error): return .invalid("an answer that is not HTTP: \(error)")
            case .complete: break
            }
            let length = Int(head.length)
            if head.status >= 200 || head.status == 101 {
                unread.withByteView { onHead(head, $0) }
                body = BodyDecoder(head.body)
            } else {
                progress = HeadProgress()
                head.reset()
            }
            unread.removeFirst(length)
        }
        return readBody(ended: false)
    }

    /// The peer has closed: the end of an answer without a length, an error of any other.
    public mutating func connectionEnded() -> Progress {
        readBody(ended: true)
    }

    private mutating func readBody(ended: Bool) -> Progress {
        guard var decoder = body else { return .needsMore }
        var consumed = 0
        let progress: Progress = unread.withByteView { bytes in
            while true {
                let (count, event) = decoder.next(bytes.dropFirst(consumed))
                consumed += count
                switch event {
                case .data, .trailers: continue
                case .needsMore:
                    if ended, case .end = decoder.connectionEnded() { return .ended }
                    return .needsMore
                case .end: return .ended
                case .invalid: return .invalid("a body that is not HTTP")
                }
            }
        }
        unread.removeFirst(consumed)
        body = decoder
        return progress
    }
}
