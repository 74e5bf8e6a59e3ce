# syntax=docker/dockerfile:1
# The image of rbcs: one static binary and the certificates of public authorities.
#
#   docker build --build-arg VERSION=v1 --tag rbcs:v1 .
#   docker run --publish 8080:8080 --volume rbcs:/data rbcs:v1
#
# Without Docker, `go -C tools/image run .` makes the same image. The chart and that
# program know user 65532, too.
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev TARGETOS TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /image/rbcs ./cmd/rbcs && \
    mkdir -p /image/etc/ssl/certs && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    echo 'rbcs:x:65532:65532::/data:/rbcs' > /image/etc/passwd && \
    install --directory --owner=65532 --group=65532 --mode=0700 /image/data

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="rbcs" \
      org.opencontainers.image.description="Real-time balance calculation: exact money, exactly once" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
# The default store is a file in /data, which the program's user alone may enter: SQLite,
# which needs nothing else. Not every builder gives a folder that it makes the mode of
# COPY --chmod, so the whole tree is copied as it is.
COPY --from=build /image /
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["/rbcs"]
CMD ["serve", "--listen=:8080"]
