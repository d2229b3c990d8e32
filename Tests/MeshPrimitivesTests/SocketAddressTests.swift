import MeshPrimitives
import Testing

struct SocketAddressTests {
    static let texts: [(String, String?)] = [
        ("10.0.0.1:80", "10.0.0.1:80"), ("0.0.0.0:0", "0.0.0.0:0"),
        ("255.255.255.255:65535", "255.255.255.255:65535"),
        ("[::1]:443", "[::1]:443"), ("[2001:DB8:0:0::1]:1", "[2001:db8::1]:1"), ("[::]:0", "[::]:0"),
        ("10.0.0.1", nil), ("10.0.0.1:", nil), ("10.0.0.1:65536", nil), ("10.0.0.1:-1", nil),
        ("10.0.0:80", nil),
        ("10.0.0.256:80", nil), ("localhost:80", nil), ("", nil), (":80", nil), ("[::1]", nil),
        ("[::1:443", nil),
        ("[10.0.0.1:80", nil), (" 10.0.0.1:80", nil),
    ]

    @Test("Addresses are read from text and written again", arguments: texts)
    func text(text: String, expected: String?) {
        #expect(SocketAddress(hostPort: text)?.description == expected)
    }

    @Test("The numbers of an address are in network order")
    func numbers() {
        let four = SocketAddress(ipv4: 10, 1, 2, 3, port: 80)
        #expect(four.high == 0 && four.low == 0x0a01_0203 && four.host == "10.1.2.3")
        #expect(SocketAddress("10.1.2.3", port: 80) == four)
        #expect(SocketAddress("10.1.2.3", port: 81) != four)
        let six = SocketAddress("2001:db8::ff", port: 1)
        #expect(six?.family == .ipv6 && six?.high == 0x2001_0db8_0000_0000 && six?.low == 0xff)
    }

    @Test("Loopback addresses")
    func loopback() {
        for text in ["127.0.0.1", "127.255.0.9", "::1"] {
            #expect(SocketAddress(text, port: 1)?.isLoopback == true)
        }
        for text in ["128.0.0.1", "10.0.0.1", "::", "::2", "::7f00:1"] {
            #expect(SocketAddress(text, port: 1)?.isLoopback == false)
        }
    }
}
