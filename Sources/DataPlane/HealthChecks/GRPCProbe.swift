import HTTP2Codec
import MeshModel
import MeshPrimitives
import Reactor
import TrafficPolicy
import XDSClient

/// Asks by grpc.health.v1.Health/Check.
final class GRPCProbe: HealthProbe {
    private static let path = "/grpc.health.v1.Health/Check"
    /// Of HealthCheckResponse.ServingStatus
    private static let serving: UInt64 = 1
    private static let messageBytesMax = 1 << 16

    private let loop: ControlLoop
    private let resolver: NameResolver
    private let target: ClientTarget
    private let check: GRPCCheck
    private let authority: String
    private let timeout: Int64
    private var channel: GRPCChannel?
    private var stream: GRPCStream?

    init(
        _ loop: ControlLoop, _ resolver: NameResolver, _ target: ClientTarget, _ check: GRPCCheck,
        authority: String, timeout: Int64
    ) {
        (self.loop, self.resolver, self.target) = (loop, resolver, target)
        (self.check, self.authority, self.timeout) = (check, authority, timeout)
    }

    func ask(_ completion: @escaping (ProbeAnswer) -> Void) {
        let channel =
            channel
            ?? GRPCChannel(loop: loop, resolver: resolver, target: target, authority: authority) {
                [weak self] _ in
                self?.channel = nil
            }
        self.channel = channel
        var status: UInt64?
        let loop = loop
        let stream = GRPCStream(
            path: Self.path, metadata: check.metadata.map { ($0.name, $0.value) },
            // A little longer than the check's own time, which ends the call first.
            deadline: .nanoseconds(timeout + 1_000_000_000), messageMax: Self.messageBytesMax
        ) { event in
            switch event {
            case .message(let message): status = Self.status(message)
            case .ended(let failure):
                let answer = Self.judge(status, failure)
                // The channel may be in the midst of its events.
                loop.atEndOfTurn { completion(answer) }
            }
        }
        self.stream = stream
        channel.start(stream)
        stream.send(Self.request(check.serviceName))
        stream.finish()
    }

    func close() {
        stream?.cancel()
        channel?.close()
        (stream, channel) = (nil, nil)
    }

    private static func judge(_ status: UInt64?, _ failure: GRPCFailure?) -> ProbeAnswer {
        switch failure {
        case nil:
            return status == serving
                ? ProbeAnswer(.passed(isDegraded: false), keepsProbe: true)
                : ProbeAnswer(
                    .failed(.active), keepsProbe: true,
                    reason: "serving status \(status.map(String.init) ?? "-")")
        case .status(let answer):
            return ProbeAnswer(
                .failed(.active), keepsProbe: true, reason: GRPCFailure.status(answer).description)
        case .notGRPC(let text): return ProbeAnswer(.failed(.active), reason: text)
        case .connection(let text): return ProbeAnswer(.failed(.network), reason: text)
        case .deadlineExceeded: return ProbeAnswer(.failed(.timeout), reason: "no answer in time")
        }
    }

    /// HealthCheckRequest: string service = 1.
    static func request(_ service: String) -> [UInt8] {
        guard !service.isEmpty else { return [] }
        var message: [UInt8] = [0x0A]
        var length = service.utf8.count
        while length >= 0x80 {
            message.append(UInt8(length & 0x7F) | 0x80)
            length >>= 7
        }
        message.append(UInt8(length))
        return message + Array(service.utf8)
    }

    /// HealthCheckResponse: ServingStatus status = 1. nil if it cannot be read; 0 where it says nothing.
    static func status(_ message: [UInt8]) -> UInt64? {
        var position = 0
        func varint() -> UInt64? {
            var (value, shift) = (UInt64(0), UInt64(0))
            while position < message.count, shift < 64 {
                let byte = message[position]
                position += 1
                value |= UInt64(byte & 0x7F) << shift
                if byte & 0x80 == 0 { return value }
                shift += 7
            }
            return nil
        }
        var status: UInt64 = 0
        while position < message.count {
            guard let key = varint() else { return nil }
            switch key & 7 {
            case 0:
                guard let value = varint() else { return nil }
                if key >> 3 == 1 { status = value }
            case 2:
                guard let length = varint(), length <= UInt64(message.count - position) else { return nil }
                position += Int(length)
            case 1: position += 8
            case 5: position += 4
            default: return nil
            }
        }
        return position == message.count ? status : nil
    }
}
