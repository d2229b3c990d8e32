import AdminAPI
import ArgumentParser
import Foundation

/// `martlet explain`: what a response flag means, or what became of one request.
struct ExplainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain",
        abstract: "Says what a response flag means, or tells the story of one request.",
        discussion: """
            A request is looked for in the flight recorders of the proxies given with --proxy, each of which keeps its \
            last requests; the flags that it ended with are explained too.
            """)

    @Argument(
        help: ArgumentHelp(
            "Flags as a log has them (URX,UF), or an x-request-id.", valueName: "flag|request-id"))
    var subject: String

    @Option(
        help: ArgumentHelp("A proxy's admin address; may be given more than once.", valueName: "host:port"))
    var proxy: [String] = ["127.0.0.1:15000"]

    @Option(name: [.customShort("o"), .long], help: "table, json or yaml.")
    var output = OutputFormat.table

    /// What one proxy remembers of the request.
    private struct Sighting: Codable {
        var proxy: String
        var answer: JSONValue
    }

    private struct Story: Decodable {
        struct Request: Decodable { var flags: String }

        var story: [String]
        var request: Request
    }

    func run() async throws {
        if let texts = Self.flags(subject) {
            return Output.line(try Output.encoded(texts, as: output) ?? Self.text(texts))
        }
        var sightings: [Sighting] = []
        var lines: [String] = []
        for address in proxy {
            guard let data = try ask(address) else { continue }
            do {
                let story = try JSONDecoder().decode(Story.self, from: data)
                sightings.append(
                    Sighting(proxy: address, answer: try JSONDecoder().decode(JSONValue.self, from: data)))
                lines.append("At \(address):")
                lines += story.story.map { "  \($0)" }
                if let texts = Self.flags(story.request.flags) { lines.append(Self.text(texts)) }
            } catch {
                throw CommandFailed("\(address): the answer is of another version: \(error)")
            }
        }
        guard !sightings.isEmpty else {
            throw CommandFailed(
                "'\(subject)' is no response flag, and no request with that id is among the last ones of \(proxy.joined(separator: ", ")); give other proxies' admin addresses with --proxy"
            )
        }
        Output.line(try Output.encoded(sightings, as: output) ?? lines.joined(separator: "\n"))
    }

    private func ask(_ address: String) throws -> Data? {
        let url = address.contains("://") ? address : "http://\(address)"
        let allowed = CharacterSet.urlQueryAllowed.subtracting(CharacterSet(charactersIn: "&+=#"))
        let id = subject.addingPercentEncoding(withAllowedCharacters: allowed) ?? subject
        return try ControlClient(url: url, name: "martlet-proxy").text("/explain?id=\(id)")
    }

    /// nil: it is not a list of flags.
    static func flags(_ text: String) -> [ResponseFlagText]? {
        let parts = text.split(separator: ",")
        let texts = parts.compactMap { ResponseFlagText(String($0)) }
        return texts.isEmpty || texts.count < parts.count ? nil : texts
    }

    private static func text(_ texts: [ResponseFlagText]) -> String {
        texts.map { "\($0.flag) (\($0.name)): \($0.meaning)\n  \($0.advice)" }.joined(separator: "\n")
    }
}
