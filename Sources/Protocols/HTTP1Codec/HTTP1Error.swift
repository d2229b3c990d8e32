/// Why a message is refused. In a request it is answered with `status`; a response that has one is a 502 of ours.
/// In both cases the connection closes, since nobody can say where the next message begins.
public enum HTTP1Error: UInt8, Error, Sendable, BitwiseCopyable, CaseIterable {
    // Lines.
    case bareCarriageReturn
    case bareLineFeed
    /// A field line that begins with white space (RFC 9112 section 5.2).
    case lineFolding
    case headTooLarge
    case tooManyFields

    // The request line.
    case invalidMethod
    case invalidTarget
    case invalidVersion
    /// HTTP/1.0, HTTP/0.9, or another version while HTTP/1.0 is not accepted either: what Envoy answers with 426.
    case lowVersion
    case unsupportedVersion
    /// Not an error of the peer's: it speaks HTTP/2 without TLS and knew that beforehand (RFC 9113 section 3.3).
    case http2Preface

    // The status line.
    case invalidStatusLine

    // Fields.
    case invalidFieldName
    case emptyFieldName
    case spaceBeforeColon
    case invalidFieldValue
    case missingHost
    case repeatedHost
    case invalidHost
    case invalidConnectionOption
    case unmetExpectation

    // Framing.
    case invalidContentLength
    case repeatedContentLength
    case contentLengthNotAllowed
    case contentLengthAndChunked
    case invalidTransferEncoding
    case unknownTransferCoding
    case transferEncodingNotAllowed

    // Bodies.
    case invalidChunkSize
    case invalidChunkExtension
    case chunkExtensionsTooLarge
    case invalidChunkEnd
    case trailersTooLarge
    /// The connection ended before the body did.
    case bodyCutShort

    /// The status of the answer, if a request is at fault.
    public var status: UInt16 {
        switch self {
        case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .lowVersion: 426
        case .unsupportedVersion: 505
        case .unmetExpectation: 417
        case .unknownTransferCoding: 501
        case .bareCarriageReturn, .bareLineFeed, .lineFolding, .invalidMethod, .invalidTarget,
            .invalidVersion,
            .http2Preface, .invalidStatusLine, .invalidFieldName, .emptyFieldName, .spaceBeforeColon,
            .invalidFieldValue, .missingHost, .repeatedHost, .invalidHost, .invalidConnectionOption,
            .invalidContentLength, .repeatedContentLength, .contentLengthNotAllowed, .contentLengthAndChunked,
            .invalidTransferEncoding, .transferEncodingNotAllowed, .invalidChunkSize, .invalidChunkExtension,
            .chunkExtensionsTooLarge, .invalidChunkEnd, .bodyCutShort:
            400
        }
    }

    /// For `%RESPONSE_CODE_DETAILS%`: Envoy's word where it has one, else one of ours under the same root.
    public var detail: StaticString {
        switch self {
        case .bareCarriageReturn: "http1.bare_carriage_return"
        case .bareLineFeed: "http1.bare_line_feed"
        case .lineFolding: "http1.line_folding"
        case .headTooLarge: "http1.headers_too_large"
        case .tooManyFields: "http1.too_many_headers"
        case .invalidMethod, .invalidVersion, .invalidStatusLine: "http1.codec_error"
        case .invalidTarget: "http1.invalid_url"
        case .lowVersion: "low_version"
        case .unsupportedVersion: "http1.unsupported_version"
        case .http2Preface: "http1.http2_preface"
        case .invalidFieldName, .emptyFieldName, .spaceBeforeColon, .invalidFieldValue:
            "http1.invalid_characters"
        case .missingHost: "missing_host_header"
        case .repeatedHost: "http1.repeated_host"
        case .invalidHost: "http1.invalid_host"
        case .invalidConnectionOption: "http1.connection_header_rejected"
        case .unmetExpectation: "http1.unmet_expectation"
        case .invalidContentLength: "http1.invalid_content_length"
        case .repeatedContentLength: "http1.repeated_content_length"
        case .contentLengthNotAllowed: "http1.content_length_not_allowed"
        case .contentLengthAndChunked: "http1.content_length_and_chunked_not_allowed"
        case .invalidTransferEncoding, .unknownTransferCoding: "http1.invalid_transfer_encoding"
        case .transferEncodingNotAllowed: "http1.transfer_encoding_not_allowed"
        case .invalidChunkSize: "http1.invalid_chunk_size"
        case .invalidChunkExtension: "http1.invalid_chunk_extension"
        case .chunkExtensionsTooLarge: "http1.chunk_extensions_too_large"
        case .invalidChunkEnd: "http1.invalid_chunk_end"
        case .trailersTooLarge: "http1.trailers_too_large"
        case .bodyCutShort: "http1.body_cut_short"
        }
    }
}
