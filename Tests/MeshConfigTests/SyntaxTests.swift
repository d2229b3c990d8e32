import Testing

@testable import MeshConfig

@Suite struct SyntaxTests {
    @Test(
        "Durations are those of the Gateway API",
        arguments: [
            ("100ms", Duration.milliseconds(100)), ("1h30m", .seconds(5400)), ("0s", .zero),
            ("1h2m3s4ms", .milliseconds(3_723_004)), ("99999s", .seconds(99_999)),
        ])
    func durations(text: String, expected: Duration) {
        #expect(Syntax.duration(text) == expected)
    }

    @Test(
        "What is not a duration is none",
        arguments: ["", "1", "s", "1d", "1.5s", "-1s", "1s ", "100000s", "1s1s1s1s1s", "1h 30m", "5 seconds"])
    func notDurations(text: String) {
        #expect(Syntax.duration(text) == nil)
    }

    @Test("A duration is written as it is read", arguments: [0, 1, 999, 1000, 61_000, 3_600_000, 5_430_250])
    func roundTrip(milliseconds: Int) {
        let duration = Duration.milliseconds(milliseconds)
        #expect(Syntax.duration(Syntax.text(duration)) == duration)
    }

    @Test("Ratios are written in percent, from 0 to 100")
    func percents() {
        #expect(Syntax.percent("20%") == 20)
        #expect(Syntax.percent("0.5%") == 0.5)
        for text in ["20", "101%", "-1%", "%", "nan%", "2e1 %", "inf%"] {
            #expect(Syntax.percent(text) == nil)
        }
    }

    @Test("Names are RFC 1123 labels")
    func labels() {
        for text in ["a", "orders-v1", "0"] { #expect(Syntax.label(text) == nil) }
        for text in ["", "-a", "a-", "A", "a.b", "a_b", String(repeating: "a", count: 64)] {
            #expect(Syntax.label(text) != nil)
        }
    }

    @Test("A header value cannot smuggle a line")
    func headerValues() {
        #expect(Syntax.headerValue("a b") == nil)
        for text in ["a\r\nb: c", "a\u{0}", " a", "a "] { #expect(Syntax.headerValue(text) != nil) }
    }

    @Test("Addresses are brought into their shortest form")
    func addresses() {
        #expect(IPAddress("::0001")?.description == "::1")
        #expect(IPAddress("::1")?.isLoopback == true)
        #expect(IPAddress("127.3.2.1")?.isLoopback == true)
        #expect(IPAddress("10.0.0.1")?.isLoopback == false)
        #expect(IPAddress("10.0.0") == nil)
        #expect(IPAddress("localhost") == nil)
    }

    @Test("A typing error finds the name that was meant, and nonsense finds none")
    func nearest() {
        let known = ["parentRefs", "rules", "hostnames"]
        #expect(NearestName.among(known, to: "parentRef") == "parentRefs")
        #expect(NearestName.among(known, to: "ruels") == "rules")
        #expect(NearestName.among(known, to: "backends") == nil)
    }
}
