import TLSTestSupport
import TestSupport
import Testing

@testable import TLSEngine

struct SANMatcherTests {
    @Test(
        "A name passes by its type and pattern",
        arguments: [
            (SANMatcher(.uri, .exact("spiffe://a/b")), true),
            (SANMatcher(.uri, .exact("spiffe://a/B")), false),
            (SANMatcher(.uri, .prefix("spiffe://a/")), true),
            (SANMatcher(.uri, .prefix("spiffe://b/")), false),
            (SANMatcher(.uri, .suffix("/b")), true),
            (SANMatcher(.uri, .suffix("spiffe://x/spiffe://a/b")), false),
            (SANMatcher(.uri, .contains("//a")), true), (SANMatcher(.uri, .contains("//c")), false),
            (SANMatcher(.dns, .exact("spiffe://a/b")), false),
            (SANMatcher(.dns, .exact("WWW.one.test")), true),
            (SANMatcher(.dns, .exact("x.two.test")), true), (SANMatcher(.dns, .exact("x.y.two.test")), false),
            (SANMatcher(.dns, .exact("two.test")), false), (SANMatcher(.dns, .exact(".two.test")), false),
            (SANMatcher(.dns, .suffix(".ONE.test")), true), (SANMatcher(.dns, .prefix("www")), true),
            (SANMatcher(.dns, .contains("One")), true), (SANMatcher(.uri, .exact("www.one.test")), false),
        ])
    func patterns(matcher: SANMatcher, isAccepted: Bool) throws {
        let identity = try TestAuthority().issue(
            "URI:spiffe://a/b,DNS:www.one.test,DNS:*.two.test,IP:10.0.0.1")
        let list = try CertificateList(pem: identity.chain, max: 1)
        let names = SubjectNames(of: list[0])
        #expect(names.uris == ["spiffe://a/b"] && names.dnsNames == ["www.one.test", "*.two.test"])
        #expect(matcher.accepts(names) == isAccepted)
    }
}
