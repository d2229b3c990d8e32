// ResourceStore: the resources in force, where they came from, and what changed when.
//
// The files of operators are the truth. The store reads them, watches them, and takes a new set over only if all of
// it is right: a broken set changes nothing and is kept as the last refusal. Every change that is taken over gets a
// revision number. What follows from a revision (snapshots for proxies) is made elsewhere.

import Foundation
import Logging
import MeshConfig

/// One accepted state of the store.
public struct StoreSnapshot: Sendable {
    public let specification: MeshSpecification
    public let revision: Int
    /// The revision in which each name was first seen: what decides which of two policies is older.
    public let firstSeen: [ResourceID: Int]
    public let time: Date
    /// When the change was seen, to measure how long it takes to reach the proxies.
    public let seen: ContinuousClock.Instant
}

/// The file store.
public actor ResourceStore {
    public struct Refusal: Sendable, Equatable {
        public let time: Date
        /// One line each.
        public let errors: [String]

        public init(time: Date, errors: [String]) { (self.time, self.errors) = (time, errors) }
    }

    /// What watching the files brought.
    public enum Outcome: Sendable, Equatable {
        case accepted(RevisionLog.Entry)
        case refused(Refusal)
        /// The files say again what is in force.
        case mended
    }

    /// How often the files are looked at. Looking costs a `stat` for each; a file must be seen unchanged twice
    /// before it is read, so that a half-written one is not. `inotify` would be quicker by milliseconds, and blind
    /// on network and overlay file systems.
    static let pollInterval = Duration.milliseconds(25)

    private let directory: ConfigDirectory
    private let logger: Logger
    private let persist: @Sendable (Data) throws -> Void
    private let looked: @Sendable (Outcome) -> Void
    private var log: RevisionLog
    private var stamps: [ConfigDirectory.Stamp]
    private var subscribers: [Int: AsyncStream<StoreSnapshot>.Continuation] = [:]
    private var subscriberCount = 0

    /// What was loaded at the start.
    public nonisolated let initialSnapshot: StoreSnapshot
    public private(set) var snapshot: StoreSnapshot
    public private(set) var refusal: Refusal?

    /// Loads the files. `state` is what `persist` was last called with, in an earlier run. `looked` hears of every later
    /// change.
    public init(
        _ directory: ConfigDirectory, state: Data?, logger: Logger,
        persist: @escaping @Sendable (Data) throws -> Void,
        looked: @escaping @Sendable (Outcome) -> Void = { _ in }
    ) throws {
        (self.directory, self.logger, self.persist, self.looked) = (directory, logger, persist, looked)
        var log = try state.map { try RevisionLog(decoding: $0) } ?? RevisionLog()
        let seen = ContinuousClock.now
        stamps = try directory.stamps()
        let specification = try MeshSpecification.read(try directory.read())
        let now = Date()
        if log.accept(specification, at: now) != nil { try persist(log.encoded()) }
        self.log = log
        initialSnapshot = StoreSnapshot(
            specification: specification, revision: log.revision, firstSeen: log.firstSeen, time: now,
            seen: seen)
        snapshot = initialSnapshot
    }

    public var revisions: [RevisionLog.Entry] { log.entries }

    /// The present state, and every later one. A slow reader misses states between, never the last.
    public func snapshots() -> AsyncStream<StoreSnapshot> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: StoreSnapshot.self, bufferingPolicy: .bufferingNewest(1))
        let id = subscriberCount
        subscriberCount += 1
        subscribers[id] = continuation
        continuation.onTermination = { _ in Task { await self.removeSubscriber(id) } }
        continuation.yield(snapshot)
        return stream
    }

    private func removeSubscriber(_ id: Int) { subscribers[id] = nil }

    /// Watches the files until the task is cancelled.
    public func watch() async {
        var unsettled: [ConfigDirectory.Stamp]?
        while !Task.isCancelled {
            let start = ContinuousClock.now
            let isSettled = look(&unsettled)
            if isSettled, unsettled != nil {
                unsettled = nil
                reload(seen: start)
            }
            // With very many files the looking itself takes long: it gets at most a twentieth of the time.
            let delay = max(Self.pollInterval, (ContinuousClock.now - start) * 20)
            try? await Task.sleep(for: delay)
        }
        for continuation in subscribers.values { continuation.finish() }
    }

    /// One look at the files. True if they differ from what was read, and did not move since the last look.
    private func look(_ unsettled: inout [ConfigDirectory.Stamp]?) -> Bool {
        let current: [ConfigDirectory.Stamp]
        do {
            current = try directory.stamps()
        } catch {
            refuse([error.description])
            return false
        }
        guard current != stamps else {
            unsettled = nil
            return false
        }
        guard current == unsettled else {
            unsettled = current
            return false
        }
        stamps = current
        return true
    }

    private func reload(seen: ContinuousClock.Instant) {
        do {
            let specification = try MeshSpecification.read(try directory.read())
            let now = Date()
            let wasRefused = refusal != nil
            if wasRefused { logger.notice("the files are right again") }
            refusal = nil
            guard let entry = log.accept(specification, at: now) else {
                if wasRefused { looked(.mended) }
                return
            }
            do {
                try persist(log.encoded())
            } catch {
                logger.error("the revision cannot be stored", metadata: ["error": "\(error)"])
            }
            snapshot = StoreSnapshot(
                specification: specification, revision: log.revision, firstSeen: log.firstSeen, time: now,
                seen: seen)
            logger.notice(
                "new revision",
                metadata: [
                    "revision": "\(entry.revision)",
                    "changes":
                        "\(entry.changes.map { "\($0.action.rawValue) \($0.id)" }.joined(separator: ", "))",
                ])
            for continuation in subscribers.values { continuation.yield(snapshot) }
            looked(.accepted(entry))
        } catch let errors as ConfigErrors {
            refuse(errors.errors.map(\.description))
        } catch {
            refuse(["\(error)"])
        }
    }

    private func refuse(_ errors: [String]) {
        guard errors != refusal?.errors else { return }
        let refusal = Refusal(time: Date(), errors: errors)
        self.refusal = refusal
        looked(.refused(refusal))
        logger.error(
            "the files were not taken over; the last good revision stays in force",
            metadata: ["revision": "\(log.revision)", "errors": "\(errors.count)"])
        for error in errors { logger.error("\(error)") }
    }
}
