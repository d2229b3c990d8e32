import Glibc
import MeshPrimitives
import Reactor

/// Why a name has no addresses.
public struct ResolutionFailure: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

/// Looks names up without holding up the loop: on threads of its own, a bounded number of them. Confined to the thread
/// of its loop. Whoever waits for an answer keeps it alive.
public final class NameResolver {
    public typealias Answer = Result<[SocketAddress], ResolutionFailure>

    /// Lookups at one time, each with a thread.
    public static let lookupsMax = 4
    /// Lookups that may wait for a thread; further ones fail at once.
    public static let waitingMax = 256
    /// Addresses of one name that are looked at.
    public static let addressesMax = 64

    private struct Finished: Sendable {
        var number: UInt64
        var answer: Answer
    }

    private struct Lookup {
        var number: UInt64
        var name: String
    }

    private let loop: ControlLoop
    /// Blocks; on another thread. The ports of its addresses do not matter.
    private let lookUp: @Sendable (String) -> Answer
    private var numbers: UInt64 = 0
    private var completions: [UInt64: (port: UInt16, body: (Answer) -> Void)] = [:]
    private var threads: [UInt64: WorkerThread] = [:]
    private var waiting: [Lookup] = []
    private var inbox: Inbox<Finished>?

    public init(
        loop: ControlLoop, lookUp: @escaping @Sendable (String) -> Answer = { NameResolver.addresses(of: $0) }
    ) {
        (self.loop, self.lookUp) = (loop, lookUp)
    }

    /// Calls `completion` in a later turn, with at least one address or a failure. A numeric address needs no lookup.
    public func resolve(_ name: String, port: UInt16, _ completion: @escaping (Answer) -> Void) {
        if let address = SocketAddress(name, port: port) {
            return loop.atEndOfTurn { completion(.success([address])) }
        }
        guard waiting.count < Self.waitingMax else {
            return loop.atEndOfTurn { completion(.failure(ResolutionFailure("too many lookups at once"))) }
        }
        numbers += 1
        completions[numbers] = (port, completion)
        waiting.append(Lookup(number: numbers, name: name))
        startWaiting()
    }

    private func startWaiting() {
        while threads.count < Self.lookupsMax, !waiting.isEmpty {
            let lookup = waiting.removeFirst()
            let inbox = finishedInbox()
            do throws(SystemErrno) {
                threads[lookup.number] = try WorkerThread.start(name: "resolver") { [lookUp] in
                    inbox.post(Finished(number: lookup.number, answer: lookUp(lookup.name)))
                }
            } catch {
                let failure = ResolutionFailure("no thread for a lookup: \(error)")
                loop.atEndOfTurn { [weak self] in
                    self?.complete(Finished(number: lookup.number, answer: .failure(failure)))
                }
            }
        }
    }

    private func finishedInbox() -> Inbox<Finished> {
        if let inbox { return inbox }
        let made = loop.makeInbox(countMax: Self.lookupsMax) { [weak self] (finished: Finished) in
            self?.complete(finished)
        }
        inbox = made
        return made
    }

    private func complete(_ finished: Finished) {
        // It has posted its answer, which was the last thing to do.
        threads.removeValue(forKey: finished.number)?.join()
        if let completion = completions.removeValue(forKey: finished.number) {
            completion.body(
                finished.answer.map { addresses in
                    addresses.prefix(Self.addressesMax).map {
                        SocketAddress(family: $0.family, high: $0.high, low: $0.low, port: completion.port)
                    }
                })
        }
        startWaiting()
    }

    /// As the machine's resolver has it (getaddrinfo(3)), in its order. Blocks.
    public static func addresses(of name: String) -> Answer {
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else {
            let text = unsafe gai_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code)"
            return .failure(ResolutionFailure("'\(name)' cannot be resolved: \(text)"))
        }
        defer { unsafe freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = unsafe list
        while let info = unsafe next {
            if let address = unsafe SocketAddress(
                sockaddr: UnsafeRawPointer(info.pointee.ai_addr), family: info.pointee.ai_family),
                !addresses.contains(address)
            {
                addresses.append(address)
            }
            unsafe next = info.pointee.ai_next
        }
        guard !addresses.isEmpty else {
            return .failure(ResolutionFailure("'\(name)' has no IPv4 or IPv6 address"))
        }
        return .success(addresses)
    }
}
