import Glibc
import MeshPrimitives
import Reactor

/// A machine with one program on it: its descriptors and its ports. Results are the negative errno, as in the kernel's
/// table.
final class SimulatedHost {
    /// Outlives the host, since kernels point to it: a few words that are never freed.
    final class Anchor {
        var host: SimulatedHost?
    }

    private enum Object {
        case poller(SimulatedPoller)
        case waker(SimulatedWaker)
        case listener(SimulatedListener)
        case stream(SimulatedStream)

        var watchable: Watchable? {
            switch self {
            case .poller: nil
            case .waker(let waker): waker
            case .listener(let listener): listener
            case .stream(let stream): stream
            }
        }
    }

    /// 0, 1 and 2 are the program's standard files.
    private static let firstDescriptor = 3
    private static let firstEphemeralPort: UInt16 = 32768

    let core: NetworkCore
    let index: Int
    let address: SocketAddress
    private(set) var anchor: Anchor
    /// Every connection to this host goes there, whatever port it asks for; 0: none is redirected.
    var redirectPort: UInt16 = 0
    var descriptorsMax = 1 << 16
    /// Nanoseconds that the host's clock goes on with each call that moves bytes.
    var callCost: Int64 = 0
    /// How much its clock is ahead of the network's.
    private var lead: Int64 = 0
    private(set) var openCount = 0
    private var random: SeededRandom
    private var objects: [Object?] = []
    private var listeners: [SimulatedListener] = []
    private var nextPort = firstEphemeralPort

    init(core: NetworkCore, index: Int, address: SocketAddress, seed: UInt64) {
        (self.core, self.index, self.address) = (core, index, address)
        // Its own numbers, so that what a program draws does not change what the network does.
        random = SeededRandom(seed: seed &+ UInt64(index &+ 1) &* 0x9e37_79b9_7f4a_7c15)
        anchor = Anchor()
        anchor.host = self
    }

    func detach() {
        anchor.host = nil
        objects = []
        listeners = []
    }

    var now: Int64 { core.now + lead }

    func randomByte() -> UInt8 { UInt8(truncatingIfNeeded: random.next()) }
    func randomWord() -> UInt64 { random.next() }

    // MARK: Descriptors

    /// The lowest free number, as POSIX has it: a program that uses a closed one soon meets somebody else's.
    private func open(_ object: Object) -> Int {
        guard openCount < descriptorsMax else { return -Int(EMFILE) }
        openCount += 1
        if case .poller(let poller) = object { core.opened(poller) } else { core.opened(nil) }
        if let free = objects.firstIndex(where: { $0 == nil }) {
            objects[free] = object
            return free + Self.firstDescriptor
        }
        objects.append(object)
        return objects.count - 1 + Self.firstDescriptor
    }

    private func object(_ descriptor: Int32, _ use: StaticString) -> Object? {
        let index = Int(descriptor) - Self.firstDescriptor
        if objects.indices.contains(index), let object = objects[index] { return object }
        core.mistake("\(address.host): \(use) of descriptor \(descriptor), which is not open")
        return nil
    }

    private func poller(_ descriptor: Int32, _ use: StaticString) -> SimulatedPoller? {
        if case .poller(let poller) = object(descriptor, use) { return poller }
        return nil
    }

    private func stream(_ descriptor: Int32, _ use: StaticString) -> SimulatedStream? {
        if case .stream(let stream) = object(descriptor, use) { return stream }
        return nil
    }

    func close(_ descriptor: Int32, byReset: Bool) {
        guard let object = object(descriptor, "close") else { return }
        objects[Int(descriptor) - Self.firstDescriptor] = nil
        openCount -= 1
        object.watchable?.unwatchAll()
        switch object {
        case .poller(let poller): return core.closed(poller)
        case .waker: break
        case .listener(let listener):
            listeners.removeAll { $0 === listener }
            listener.close()
        case .stream(let stream): stream.close(byReset: byReset)
        }
        core.closed(nil)
    }

    /// Its program ends. The program's kernels are cut off, so that what it still does, closing its descriptors above
    /// all, does not reach the next one.
    func crash() {
        anchor.host = nil
        for index in objects.indices where objects[index] != nil {
            close(Int32(index + Self.firstDescriptor), byReset: false)
        }
        anchor = Anchor()
        anchor.host = self
    }

    // MARK: Events

    func makePoller() -> Int { open(.poller(SimulatedPoller(core: core))) }

    func watch(_ poller: Int32, _ descriptor: Int32, _ interest: Readiness, _ token: Token) -> Int {
        guard let poller = self.poller(poller, "watch"), let object = object(descriptor, "watch") else {
            return -Int(EBADF)
        }
        guard let target = object.watchable else { return -Int(EINVAL) }
        return poller.watch(target, token, interest) ? 0 : -Int(EEXIST)
    }

    func unwatch(_ poller: Int32, _ descriptor: Int32) -> Int {
        guard let poller = self.poller(poller, "unwatch"), let object = object(descriptor, "unwatch") else {
            return -Int(EBADF)
        }
        guard let target = object.watchable else { return -Int(EINVAL) }
        return poller.unwatch(target) ? 0 : -Int(ENOENT)
    }

    /// nil if it is not a poller.
    func wait(_ poller: Int32, max: Int, timeout: Int64) -> [ReadyEvent]? {
        self.poller(poller, "wait")?.wait(max: max, timeout: timeout)
    }

    func makeWaker() -> Int { open(.waker(SimulatedWaker())) }

    func wake(_ descriptor: Int32) {
        if case .waker(let waker) = object(descriptor, "wake") { waker.wake() }
    }

    func drainWaker(_ descriptor: Int32) {
        if case .waker(let waker) = object(descriptor, "drain") { waker.drain() }
    }

    // MARK: Listening

    func listen(_ wanted: SocketAddress, sharesPort: Bool, backlog: Int32) -> Int {
        guard isMine(wanted) || wanted.isUnspecified else { return -Int(EADDRNOTAVAIL) }
        var address = wanted
        if address.port == 0 { address.port = freePort() }
        for other in listeners where other.address.overlaps(address) {
            if !sharesPort || !other.sharesPort { return -Int(EADDRINUSE) }
        }
        let listener = SimulatedListener(address, sharesPort: sharesPort, backlog: backlog)
        let result = open(.listener(listener))
        if result >= 0 { listeners.append(listener) }
        return result
    }

    private func isMine(_ address: SocketAddress) -> Bool {
        address.isLoopback
            || (address.family, address.high, address.low)
                == (self.address.family, self.address.high, self.address.low)
    }

    private func freePort() -> UInt16 {
        repeat {
            nextPort = nextPort < .max ? nextPort + 1 : Self.firstEphemeralPort
        } while listeners.contains { $0.address.port == nextPort }
        return nextPort
    }

    /// Who takes a connection to `address`: the most exact of those that listen, one of them by chance if they share.
    func listener(for address: SocketAddress) -> SimulatedListener? {
        let listening = listeners.filter(\.isListening)
        var candidates = listening.filter { $0.address == address }
        if candidates.isEmpty {
            candidates = listening.filter { $0.address.isUnspecified && $0.address.overlaps(address) }
        }
        guard candidates.count > 1 else { return candidates.first }
        return candidates[Int(core.random.below(UInt64(candidates.count)))]
    }

    /// Where a connection to `address` goes (iptables REDIRECT).
    func redirected(_ address: SocketAddress) -> SocketAddress {
        redirectPort == 0 ? address : address.with(port: redirectPort)
    }

    /// The result, and the peer where there is one.
    func accept(_ descriptor: Int32) -> (Int, SocketAddress?) {
        guard case .listener(let listener) = object(descriptor, "accept") else { return (-Int(EBADF), nil) }
        guard !listener.queue.isEmpty else { return (-Int(EAGAIN), nil) }
        guard openCount < descriptorsMax else { return (-Int(EMFILE), nil) }
        guard let stream = listener.accept() else { return (-Int(EAGAIN), nil) }
        return (open(.stream(stream)), stream.remote)
    }

    // MARK: Connections

    /// Never there at once: the result is pending.
    func connect(_ wanted: SocketAddress, from source: SocketAddress?) -> Int {
        if let source, !isMine(source), !source.isUnspecified { return -Int(EADDRNOTAVAIL) }
        guard openCount < descriptorsMax else { return -Int(EMFILE) }
        var target = wanted
        if wanted.isUnspecified { target = address.with(port: wanted.port) }
        var local = target.isLoopback ? target : address
        if let source, !source.isUnspecified { local = source }
        if source?.port ?? 0 == 0 { local.port = freePort() }
        let host = isMine(target) ? self : core.knownHost(target)
        return open(.stream(.connect(self, to: host, local: local, remote: target)))
    }

    func connectResult(_ descriptor: Int32) -> Int {
        guard let stream = stream(descriptor, "connectResult") else { return Int(EBADF) }
        return Int(stream.takeError())
    }

    func localAddress(_ descriptor: Int32) -> SocketAddress? {
        switch object(descriptor, "localAddress") {
        case .listener(let listener): listener.address
        case .stream(let stream): stream.local
        case .poller, .waker, nil: nil
        }
    }

    func originalDestination(_ descriptor: Int32) -> SocketAddress? {
        stream(descriptor, "originalDestination")?.original
    }

    func peerAddress(_ descriptor: Int32) -> SocketAddress? {
        guard let stream = stream(descriptor, "peerAddress"), stream.isConnected else { return nil }
        return stream.remote
    }

    /// Calls `body` with the bytes that are there and counts them as read, unless it only looks.
    func receive(
        _ descriptor: Int32, max: Int, keeps: Bool = false, _ body: (ArraySlice<UInt8>) -> Void
    ) -> Int {
        lead += callCost
        guard let stream = stream(descriptor, "receive") else { return -Int(EBADF) }
        switch stream.read(
            max,
            { bytes in
                body(bytes); return bytes.count
            })
        {
        case .failure(let nothing): return nothing.result
        case .success(let count):
            if !keeps { stream.consume(count) }
            return count
        }
    }

    func send(_ descriptor: Int32, _ bytes: [UInt8]) -> Int {
        lead += callCost
        guard let stream = stream(descriptor, "send") else { return -Int(EBADF) }
        return stream.write(bytes[...])
    }

    func shutdownWrite(_ descriptor: Int32) -> Int {
        stream(descriptor, "shutdownWrite")?.shutdownWrite() ?? -Int(EBADF)
    }

    func isStream(_ descriptor: Int32) -> Bool { stream(descriptor, "setting an option") != nil }
}

extension SocketAddress {
    var isUnspecified: Bool { high == 0 && low == 0 }

    func with(port: UInt16) -> SocketAddress {
        var copy = self
        copy.port = port
        return copy
    }

    /// Both could take the same connection.
    func overlaps(_ other: SocketAddress) -> Bool {
        guard port == other.port, family == other.family else { return false }
        return isUnspecified || other.isUnspecified || (high, low) == (other.high, other.low)
    }
}
