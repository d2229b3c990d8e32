// Fleet: what each connected proxy was sent, and what it said to that.
//
// Streams report; the HTTP API asks. Nothing here decides anything, so that the record cannot disturb what it
// records. A proxy is in the fleet as long as its stream lives.

import AdminAPI
import ConfigCompiler
import Foundation
import Synchronization

/// The record of all streams.
public final class Fleet: Sendable {
    /// Who is on a stream.
    public struct Member: Sendable {
        public let id: String
        public let service: String
        public let userAgent: String
        public let peer: String
        public let identity: String?

        public init(id: String, service: String, userAgent: String, peer: String, identity: String?) {
            (self.id, self.service, self.userAgent) = (id, service, userAgent)
            (self.peer, self.identity) = (peer, identity)
        }
    }

    private struct Channel {
        var resources = 0
        var sent = ""
        var acknowledged = ""
        var sentAt: ContinuousClock.Instant?
        var lag: Duration?
        var refusal: ProxyStatus.Refusal?
    }

    private struct Record {
        let member: Member
        let connected: Date
        var channels: [ResourceType: Channel] = [:]
        var revisionSent = 0
        var revisionAcknowledged = 0
        var lag: Duration?
    }

    private struct State {
        var records: [UInt64: Record] = [:]
        var sent = 0
        var acknowledged = 0
        var refused = 0
    }

    private let state = Mutex(State())

    /// Hears what happens to proxies.
    private let events: EventFeed

    public init(events: EventFeed = EventFeed()) { self.events = events }

    public func joined(_ stream: UInt64, _ member: Member, at time: Date) {
        state.withLock { $0.records[stream] = Record(member: member, connected: time) }
        events.publish("proxy", ProxyEvent(.connected, id: member.id, service: member.service))
    }

    public func left(_ stream: UInt64) {
        guard let member = state.withLock({ $0.records.removeValue(forKey: stream)?.member }) else { return }
        events.publish("proxy", ProxyEvent(.disconnected, id: member.id, service: member.service))
    }

    public func sent(
        _ stream: UInt64, _ type: ResourceType, version: String, resources: Int,
        at now: ContinuousClock.Instant
    ) {
        state.withLock { state in
            state.sent += 1
            guard state.records[stream] != nil else { return }
            state.records[stream]?.channels[type, default: Channel()].sent = version
            state.records[stream]?.channels[type]?.resources = resources
            state.records[stream]?.channels[type]?.sentAt = now
        }
    }

    public func acknowledged(
        _ stream: UInt64, _ type: ResourceType, version: String, at now: ContinuousClock.Instant
    ) {
        state.withLock { state in
            state.acknowledged += 1
            settle(&state, stream, type, at: now)
            state.records[stream]?.channels[type]?.acknowledged = version
            state.records[stream]?.channels[type]?.refusal = nil
        }
    }

    public func refused(
        _ stream: UInt64, _ type: ResourceType, version: String, message: String,
        at now: ContinuousClock.Instant,
        time: Date
    ) {
        let refusal = ProxyStatus.Refusal(version: version, message: message, time: Self.text(time))
        let member = state.withLock { state in
            state.refused += 1
            settle(&state, stream, type, at: now)
            state.records[stream]?.channels[type]?.refusal = refusal
            // It may have acknowledged it before, and it does not hold it all the same.
            if state.records[stream]?.channels[type]?.acknowledged == version {
                state.records[stream]?.channels[type]?.acknowledged = ""
            }
            return state.records[stream]?.member
        }
        guard let member else { return }
        events.publish(
            "proxy",
            ProxyEvent(
                .refused, id: member.id, service: member.service, type: type.rawValue, refusal: refusal))
    }

    /// Everything of the revision is on its way or was there before.
    public func sentAll(_ stream: UInt64, revision: Int) {
        state.withLock { $0.records[stream]?.revisionSent = revision }
    }

    /// The proxy holds everything of the revision. `seen`: when the revision itself was.
    public func inStep(
        _ stream: UInt64, revision: Int, seen: ContinuousClock.Instant, at now: ContinuousClock.Instant
    ) {
        let event: ProxyEvent? = state.withLock { state in
            guard let record = state.records[stream], record.revisionAcknowledged < revision else {
                return nil
            }
            state.records[stream]?.revisionAcknowledged = revision
            // A proxy that connects later got an old revision late through no fault of anybody's.
            let lag = record.revisionAcknowledged == 0 ? nil : now - seen
            state.records[stream]?.lag = lag
            return ProxyEvent(
                .inStep, id: record.member.id, service: record.member.service, revision: revision,
                lagMilliseconds: lag.map(Self.milliseconds))
        }
        if let event { events.publish("proxy", event) }
    }

    private func settle(
        _ state: inout State, _ stream: UInt64, _ type: ResourceType, at now: ContinuousClock.Instant
    ) {
        guard let sentAt = state.records[stream]?.channels[type]?.sentAt else { return }
        state.records[stream]?.channels[type]?.lag = now - sentAt
        state.records[stream]?.channels[type]?.sentAt = nil
    }

    // MARK: Questions

    /// All proxies, by id.
    public func status(at now: ContinuousClock.Instant) -> [ProxyStatus] {
        let records = state.withLock { Array($0.records.values) }
        return records.map { status($0, at: now) }.sorted {
            ($0.id, $0.connectedAt) < ($1.id, $1.connectedAt)
        }
    }

    /// Responses since the start.
    public var counts: (sent: Int, acknowledged: Int, refused: Int, proxies: Int) {
        state.withLock { ($0.sent, $0.acknowledged, $0.refused, $0.records.count) }
    }

    private func status(_ record: Record, at now: ContinuousClock.Instant) -> ProxyStatus {
        let types = ResourceType.allCases.compactMap { type -> ProxyStatus.TypeStatus? in
            guard let channel = record.channels[type] else { return nil }
            let lag = channel.sentAt.map { now - $0 } ?? channel.lag
            return ProxyStatus.TypeStatus(
                type: type.rawValue, resources: channel.resources, versionSent: channel.sent,
                versionAcknowledged: channel.acknowledged, isInStep: channel.sent == channel.acknowledged,
                lagMilliseconds: lag.map(Self.milliseconds), lastRefusal: channel.refusal)
        }
        return ProxyStatus(
            id: record.member.id, service: record.member.service, userAgent: record.member.userAgent,
            peer: record.member.peer, identity: record.member.identity,
            connectedAt: Self.text(record.connected),
            revisionAcknowledged: record.revisionAcknowledged, revisionSent: record.revisionSent,
            lagMilliseconds: record.lag.map(Self.milliseconds), types: types)
    }

    private static func milliseconds(_ duration: Duration) -> Double {
        let (seconds, attoseconds) = duration.components
        // Whole microseconds: more digits would only be noise.
        return (Double(seconds) * 1e6 + (Double(attoseconds) / 1e12).rounded()) / 1e3
    }

    /// ISO 8601 in UTC with milliseconds.
    public static func text(_ time: Date) -> String {
        time.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    }
}
