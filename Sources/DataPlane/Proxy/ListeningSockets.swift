import MeshPrimitives
import Reactor
import Synchronization

/// The listening sockets of the process, one for each address and worker. The control thread opens them before a
/// configuration that needs them is published; each worker takes its own, and closes it when no configuration has its
/// address any more, after what was queued there is accepted.
public final class ListeningSockets: Sendable {
    private struct Entry {
        /// By worker; `none` once the worker has taken it.
        var descriptors: [Descriptor]
        /// Holds the port while nobody listens there yet.
        var reservation = Descriptor.none
        /// Sockets that workers have.
        var taken: Set<Int> = []
    }

    private let entries = Mutex<[SocketAddress: Entry]>([:])

    init() {}

    /// Opens a socket for each worker; the address with its real port. An address that is open already stays as it is.
    func open(_ address: SocketAddress, workers: Int, _ kernel: Kernel) throws(SystemErrno) -> SocketAddress {
        let known = entries.withLock { $0[address] }
        if let known, address.port != 0, known.reservation.isNone {
            try openMissing(address, known, workers: workers, kernel)
            return address
        }
        if known == nil, address.port != 0 { try kernel.probe(address) }
        var actual = address
        var descriptors: [Descriptor] = []
        do throws(SystemErrno) {
            for _ in 0..<workers {
                let descriptor = try kernel.listen(actual, reusePort: workers > 1 || known != nil)
                descriptors.append(descriptor)
                actual = try kernel.localAddress(descriptor)
            }
        } catch {
            for descriptor in descriptors { kernel.close(descriptor) }
            throw error
        }
        if let known, !known.reservation.isNone { kernel.close(known.reservation) }
        let entry = Entry(descriptors: descriptors)
        entries.withLock { $0[actual] = entry }
        return actual
    }

    /// Workers that have closed theirs already, after a configuration without the address, get another one.
    private func openMissing(
        _ address: SocketAddress, _ known: Entry, workers: Int, _ kernel: Kernel
    ) throws(SystemErrno) {
        for worker in 0..<workers where known.descriptors[worker].isNone && !known.taken.contains(worker) {
            let descriptor = try kernel.listen(address, reusePort: true)
            entries.withLock { table in
                var entry =
                    table[address] ?? Entry(descriptors: [Descriptor](repeating: .none, count: workers))
                entry.descriptors[worker] = descriptor
                table[address] = entry
            }
        }
    }

    /// Binds without listening, so that the port is ours and callers are refused until a listener comes.
    func reserve(_ address: SocketAddress, workers: Int, _ kernel: Kernel) throws(SystemErrno)
        -> SocketAddress
    {
        if address.port != 0 { try kernel.probe(address) }
        let descriptor = try kernel.bind(address)
        let actual = try kernel.localAddress(descriptor)
        var entry = Entry(descriptors: [])
        entry.reservation = descriptor
        entries.withLock { $0[actual] = entry }
        return actual
    }

    /// The worker's socket at that address, once. A worker that closed its own for a configuration without the address,
    /// while the next one had it again already, gets a new one.
    func descriptor(_ address: SocketAddress, worker: Int, _ kernel: Kernel) -> Descriptor? {
        entries.withLock { table in
            var entry = table[address] ?? Entry(descriptors: [])
            guard !entry.taken.contains(worker) else { return nil }
            var descriptor = Descriptor.none
            if worker < entry.descriptors.count { swap(&descriptor, &entry.descriptors[worker]) }
            if descriptor.isNone {
                guard let new = try? kernel.listen(address, reusePort: true) else { return nil }
                descriptor = new
            }
            entry.taken.insert(worker)
            table[address] = entry
            return descriptor
        }
    }

    /// The worker has closed its socket.
    func closed(_ address: SocketAddress, worker: Int) {
        entries.withLock { table in
            table[address]?.taken.remove(worker)
            if let entry = table[address], entry.taken.isEmpty, entry.descriptors.allSatisfy(\.isNone),
                entry.reservation.isNone
            {
                table[address] = nil
            }
        }
    }

    /// Closes what nobody took at addresses that are no longer wanted; reservations stay.
    func retain(_ wanted: Set<SocketAddress>, _ kernel: Kernel) {
        entries.withLock { table in
            for (address, entry) in table where !wanted.contains(address) && entry.reservation.isNone {
                for descriptor in entry.descriptors where !descriptor.isNone { kernel.close(descriptor) }
                // The workers that have theirs close them when they see the configuration.
                table[address]?.descriptors = []
                if entry.taken.isEmpty { table[address] = nil }
            }
        }
    }
}
