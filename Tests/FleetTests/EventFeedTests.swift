import AdminAPI
import Foundation
import Testing

@testable import Fleet

@Suite struct EventFeedTests {
    private let feed = EventFeed()

    /// All of a stream whose feed is closed.
    private func texts(_ stream: AsyncStream<EventFeed.Item>?) async throws -> [String] {
        var texts: [String] = []
        for await item in try #require(stream) {
            switch item {
            case .event(let event): texts.append("\(event.number) \(event.name) \(event.data)")
            case .gap: texts.append("gap")
            case .pulse: texts.append("pulse")
            }
        }
        return texts
    }

    @Test("A reader gets what happens from now on, and the end when the feed closes")
    func fromNow() async throws {
        feed.publish("a", ["x": 1])
        let reader = feed.read()
        feed.publish("b", ["x": 2])
        feed.pulse()
        feed.close()
        feed.publish("c", ["x": 3])
        #expect(try await texts(reader) == [#"2 b {"x":2}"#, "pulse"])
        #expect(feed.read() == nil)
    }

    @Test("A reader that comes back gets what it missed; what is no longer kept is a gap")
    func resumed() async throws {
        for number in 1...EventFeed.keptMax + 2 { feed.publish("n", number) }
        let last = UInt64(EventFeed.keptMax + 2)
        let (recent, edge, old, foreign) = (
            feed.read(after: last - 1), feed.read(after: 2), feed.read(after: 1), feed.read(after: last + 9)
        )
        feed.close()
        #expect(try await texts(recent) == ["\(last) n \(last)"])
        #expect(try await texts(edge).first == "3 n 3")
        #expect(try await texts(old).prefix(2) == ["gap", "3 n 3"])
        #expect(try await texts(foreign) == ["gap"])
    }

    @Test("A reader that is too slow is told that it missed something")
    func slow() async throws {
        let reader = try #require(feed.read())
        for number in 1...EventFeed.keptMax + 5 { feed.publish("n", number) }
        var iterator = reader.makeAsyncIterator()
        for number in 1...EventFeed.keptMax + 1 {
            guard case .event(let event) = await iterator.next() else {
                Issue.record("event \(number) is missing")
                return
            }
            #expect(event.number == UInt64(number))
        }
        feed.publish("n", 0)
        feed.close()
        #expect(await iterator.next() == .gap)
        #expect(await iterator.next() == .event(.init(number: 518, name: "n", data: "0")))
        #expect(await iterator.next() == nil)
    }

    @Test("Readers are bounded in number, and one that leaves makes room")
    func bounded() throws {
        var readers = (0..<EventFeed.readersMax).compactMap { _ in feed.read() }
        #expect(readers.count == EventFeed.readersMax)
        #expect(feed.read() == nil)
        readers.removeAll()
        #expect(feed.read() != nil)
    }

    @Test("The fleet tells of proxies that come, are in step, refuse and go")
    func fleet() async throws {
        let fleet = Fleet(events: feed)
        let reader = feed.read()
        let (now, time) = (ContinuousClock.now, Date(timeIntervalSince1970: 1_800_000_000))
        let member = Fleet.Member(
            id: "default/a~1", service: "default/a", userAgent: "martlet", peer: "p", identity: nil)
        fleet.joined(7, member, at: time)
        fleet.inStep(7, revision: 3, seen: now, at: now)
        fleet.inStep(7, revision: 3, seen: now, at: now)
        fleet.refused(7, .routes, version: "v", message: "no", at: now, time: time)
        fleet.left(7)
        fleet.left(7)
        feed.close()
        let proxy = #""id":"default/a~1""#
        #expect(
            try await texts(reader) == [
                #"1 proxy {"change":"connected",\#(proxy),"service":"default/a"}"#,
                #"2 proxy {"change":"inStep",\#(proxy),"revision":3,"service":"default/a"}"#,
                #"3 proxy {"change":"refused",\#(proxy),"refusal":{"message":"no","time":"2027-01-15T08:00:00.000Z","#
                    + #""version":"v"},"service":"default/a","type":"routes"}"#,
                #"4 proxy {"change":"disconnected",\#(proxy),"service":"default/a"}"#,
            ])
    }
}
