import AdminAPI
import Foundation
import Hummingbird
import Logging

/// Turns every error into problem details (RFC 9457).
struct ProblemMiddleware: RouterMiddleware {
    let logger: Logger

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let problem as Problem {
            return try JSONAnswer.make(problem)
        } catch let error as any HTTPResponseError {
            let detail = error.status == .notFound ? "there is nothing at \(request.uri.path)" : nil
            return try JSONAnswer.make(
                Problem(title: error.status.reasonPhrase, status: error.status.code, detail: detail))
        } catch {
            logger.error("a request failed", metadata: ["path": "\(request.uri.path)", "error": "\(error)"])
            return try JSONAnswer.make(
                Problem(title: "Internal Server Error", status: 500, detail: "\(error)"))
        }
    }
}

/// Values as JSON, with the keys in order.
enum JSONAnswer {
    static func make(_ problem: Problem) throws -> Response {
        var response = try make(
            problem, status: .init(code: problem.status, reasonPhrase: problem.title),
            contentType: "application/problem+json")
        if problem.status == 401 { response.headers[.wwwAuthenticate] = "Bearer" }
        return response
    }

    static func make(
        _ value: some Encodable, status: HTTPResponse.Status, contentType: String
    ) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var bytes = try encoder.encode(value)
        bytes.append(0x0a)
        return Response(
            status: status, headers: [.contentType: contentType, .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(data: bytes)))
    }
}
