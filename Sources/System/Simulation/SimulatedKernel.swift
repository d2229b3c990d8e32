import Glibc
import MeshPrimitives
import Reactor

/// The kernel of a host: a table of C functions, each of which looks up the host behind its context.
enum SimulatedKernel {
    /// The anchor is retained for ever: kernels are plain data, and nobody tells when the last one has gone.
    static func make(_ anchor: SimulatedHost.Anchor) -> Kernel {
        unsafe Kernel(table: table.pointer, context: Unmanaged.passRetained(anchor).toOpaque())
    }

    @safe private struct Table: @unchecked Sendable {
        let pointer: UnsafePointer<KernelTable>

        init() {
            let table = UnsafeMutablePointer<KernelTable>.allocate(capacity: 1)
            unsafe table.initialize(to: makeTable())
            unsafe pointer = UnsafePointer(table)
        }
    }

    /// Never freed: every kernel points to it.
    private static let table = Table()
}

private func host(_ context: UnsafeMutableRawPointer?) -> SimulatedHost? {
    guard let context = unsafe context else { return nil }
    return unsafe Unmanaged<SimulatedHost.Anchor>.fromOpaque(context).takeUnretainedValue().host
}

/// What every call says once the network is gone.
private let isGone = -Int(ENETDOWN)

private func fill(_ place: UnsafeMutableRawPointer, _ address: SocketAddress?) -> Int {
    guard let address else { return -Int(ENOTCONN) }
    unsafe place.storeBytes(of: address, as: SocketAddress.self)
    return 0
}

private func copy(_ bytes: ArraySlice<UInt8>, to place: UnsafeMutableRawPointer) {
    unsafe bytes.withUnsafeBytes { source in
        if let start = source.baseAddress { unsafe place.copyMemory(from: start, byteCount: source.count) }
    }
}

private func append(_ bytes: UnsafeRawPointer?, _ count: Int, to all: inout [UInt8]) {
    unsafe all.append(contentsOf: UnsafeRawBufferPointer(start: bytes, count: count))
}

private func wait(
    _ host: SimulatedHost?, _ poller: Int32, _ place: UnsafeMutableRawPointer, max: Int, timeout: Int64
) -> Int {
    guard let host else { return 0 }
    guard let events = host.wait(poller, max: max, timeout: timeout) else { return -Int(EBADF) }
    for (index, event) in events.enumerated() {
        unsafe place.storeBytes(
            of: event, toByteOffset: index * MemoryLayout<ReadyEvent>.stride, as: ReadyEvent.self)
    }
    return events.count
}

private func accept(
    _ host: SimulatedHost?, _ listener: Int32, _ place: UnsafeMutableRawPointer
) -> Int {
    guard let host else { return isGone }
    let (result, peer) = host.accept(listener)
    if peer != nil { _ = unsafe fill(place, peer) }
    return result
}

private func originalDestination(
    _ host: SimulatedHost?, _ descriptor: Int32, _ place: UnsafeMutableRawPointer
) -> Int {
    guard let host else { return isGone }
    // What Linux says of a connection that was not redirected.
    guard let address = host.originalDestination(descriptor) else { return -Int(ENOENT) }
    return unsafe fill(place, address)
}

private func fillRandom(_ host: SimulatedHost?, _ bytes: UnsafeMutableRawPointer, _ count: Int) {
    for index in 0..<count {
        unsafe bytes.storeBytes(of: host?.randomByte() ?? 0, toByteOffset: index, as: UInt8.self)
    }
}

private func isStream(_ host: SimulatedHost?, _ descriptor: Int32) -> Int {
    host?.isStream(descriptor) == true ? 0 : -Int(EBADF)
}

/// Without pipes: bytes are copied in a simulation.
private func makeTable() -> KernelTable {
    unsafe KernelTable(
        now: { context in unsafe host(context)?.now ?? NetworkCore.start },
        wallClock: { context in
            unsafe (host(context)?.now ?? NetworkCore.start) + NetworkCore.wallClockStart
        },
        fillRandom: { context, bytes, count in
            unsafe Simulation.fillRandom(host(context), bytes, count)
        },
        makePoller: { context in unsafe host(context)?.makePoller() ?? isGone },
        watch: { context, poller, descriptor, interest, token in
            unsafe host(context)?.watch(
                poller, descriptor, Readiness(rawValue: interest), Token(rawValue: token)) ?? isGone
        },
        unwatch: { context, poller, descriptor in
            unsafe host(context)?.unwatch(poller, descriptor) ?? isGone
        },
        wait: { context, poller, place, max, timeout in
            unsafe Simulation.wait(host(context), poller, place, max: max, timeout: timeout)
        },
        listen: { context, address, sharesPort, backlog in
            unsafe host(context)?.listen(
                address.load(as: SocketAddress.self), sharesPort: sharesPort, backlog: backlog) ?? isGone
        },
        localAddress: { context, descriptor, place in
            guard let host = unsafe host(context) else { return isGone }
            return unsafe fill(place, host.localAddress(descriptor))
        },
        peerAddress: { context, descriptor, place in
            guard let host = unsafe host(context) else { return isGone }
            return unsafe fill(place, host.peerAddress(descriptor))
        },
        originalDestination: { context, descriptor, place in
            unsafe Simulation.originalDestination(host(context), descriptor, place)
        },
        accept: { context, descriptor, place in
            unsafe Simulation.accept(host(context), descriptor, place)
        },
        connect: { context, address, source, isPending in
            unsafe isPending.pointee = true
            let source = unsafe source.map { unsafe $0.load(as: SocketAddress.self) }
            return unsafe host(context)?.connect(address.load(as: SocketAddress.self), from: source) ?? isGone
        },
        connectResult: { context, descriptor in
            unsafe host(context)?.connectResult(descriptor) ?? Int(ENETDOWN)
        },
        setNoDelay: { context, descriptor, _ in unsafe Simulation.isStream(host(context), descriptor) },
        setKeepalive: { context, descriptor, _, _, _ in
            unsafe Simulation.isStream(host(context), descriptor)
        },
        receive: { context, descriptor, place, count in
            unsafe host(context)?.receive(descriptor, max: count) { unsafe copy($0, to: place) } ?? isGone
        },
        peek: { context, descriptor in
            unsafe host(context)?.receive(descriptor, max: 1, keeps: true) { _ in } ?? isGone
        },
        send: { context, descriptor, bytes, count in
            var all: [UInt8] = []
            unsafe append(bytes, count, to: &all)
            return unsafe host(context)?.send(descriptor, all) ?? isGone
        },
        sendGathered: { context, descriptor, a, aCount, b, bCount, c, cCount, d, dCount in
            var all: [UInt8] = []
            unsafe append(a, aCount, to: &all)
            unsafe append(b, bCount, to: &all)
            unsafe append(c, cCount, to: &all)
            unsafe append(d, dCount, to: &all)
            return unsafe host(context)?.send(descriptor, all) ?? isGone
        },
        makePipe: { _, _, _ in -Int(ENOSYS) },
        splice: { _, _, _, _ in -Int(ENOSYS) },
        shutdownWrite: { context, descriptor in unsafe host(context)?.shutdownWrite(descriptor) ?? isGone },
        close: { context, descriptor in unsafe host(context)?.close(descriptor, byReset: false) },
        reset: { context, descriptor in unsafe host(context)?.close(descriptor, byReset: true) },
        makeWaker: { context in unsafe host(context)?.makeWaker() ?? isGone },
        wake: { context, descriptor in unsafe host(context)?.wake(descriptor) },
        drainWaker: { context, descriptor in unsafe host(context)?.drainWaker(descriptor) })
}
