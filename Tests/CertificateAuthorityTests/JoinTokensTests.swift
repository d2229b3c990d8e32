import Foundation
import Testing

@testable import CertificateAuthority

@Suite struct JoinTokensTests {
    let directory = TemporaryDirectory()
    let now = Date(timeIntervalSince1970: 1_800_000_000)

    private func make(_ tokens: JoinTokens, uses: Int = 1) async throws -> String {
        try await tokens.make(
            namespace: "shop", service: "orders", lifetime: .seconds(3600), uses: uses, now: now
        ).token
    }

    @Test("A token is good as often as it says, for its service alone")
    func uses() async throws {
        let tokens = try JoinTokens(in: DataDirectory(directory.path))
        let token = try await make(tokens, uses: 2)
        await #expect(throws: JoinTokens.Refused.otherService) {
            try await tokens.redeem(token, namespace: "shop", service: "payments", now: now)
        }
        try await tokens.redeem(token, namespace: "shop", service: "orders", now: now)
        try await tokens.redeem(token, namespace: "shop", service: "orders", now: now)
        await #expect(throws: JoinTokens.Refused.unknown) {
            try await tokens.redeem(token, namespace: "shop", service: "orders", now: now)
        }
    }

    @Test("A token expires")
    func expiry() async throws {
        let tokens = try JoinTokens(in: DataDirectory(directory.path))
        let token = try await make(tokens)
        await #expect(throws: JoinTokens.Refused.expired) {
            try await tokens.redeem(
                token, namespace: "shop", service: "orders", now: now.addingTimeInterval(3600))
        }
    }

    @Test("Tokens, and what is left of them, survive a restart; the token itself is not on disk")
    func restart() async throws {
        var token = ""
        do {
            let tokens = try JoinTokens(in: DataDirectory(directory.path))
            token = try await make(tokens, uses: 2)
            try await tokens.redeem(token, namespace: "shop", service: "orders", now: now)
        }
        let text = try String(contentsOfFile: "\(directory.path)/tokens.json", encoding: .utf8)
        #expect(!text.contains(token.dropFirst(4)))
        #expect(try directory.mode("tokens.json") == 0o600)
        let tokens = try JoinTokens(in: DataDirectory(directory.path))
        try await tokens.redeem(token, namespace: "shop", service: "orders", now: now)
        await #expect(throws: JoinTokens.Refused.unknown) {
            try await tokens.redeem(token, namespace: "shop", service: "orders", now: now)
        }
    }

    @Test("Two tokens differ, and a guess is refused")
    func unguessable() async throws {
        let tokens = try JoinTokens(in: DataDirectory(directory.path))
        let (first, second) = (try await make(tokens), try await make(tokens))
        #expect(first != second)
        #expect(first.count > 40)
        await #expect(throws: JoinTokens.Refused.unknown) {
            try await tokens.redeem("mjt_", namespace: "shop", service: "orders", now: now)
        }
    }
}
