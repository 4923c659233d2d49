import { familiarRepository } from "../oci/reference.ts"

/** How to reach a registry for one pull. Lives in memory and on the child's channel only. */
export interface Access {
  /** `registry-1.docker.io`, `127.0.0.1:5000`. */
  readonly host: string
  /** Plain HTTP allowed, certificates not checked. */
  readonly insecure: boolean
  readonly credentials: Credentials | null
}

/** What a client sent in `X-Registry-Auth`; empty text where it sent nothing. */
export interface Credentials {
  readonly username: string
  readonly password: string
  /** An OAuth2 refresh token: traded for access tokens at the realm. */
  readonly identityToken: string
  /** A bearer token ready for use: sent as it is, never renewed. */
  readonly registryToken: string
}

/** The default registry answers at this host, and is called by another name everywhere else. */
const DEFAULT_HOST = "registry-1.docker.io"
const DEFAULT_DOMAIN = "docker.io"

/** The repository as Docker's messages name it: `busybox`, `127.0.0.1:5000/app`. */
export const familiarName = (host: string, repository: string): string =>
  familiarRepository({
    domain: host === DEFAULT_HOST ? DEFAULT_DOMAIN : host,
    path: repository,
    tag: null,
    digest: null,
  })

/** `name:tag` or `name@digest`, with the repository as Docker names it. */
export const familiarImage = (host: string, repository: string, reference: string): string =>
  `${familiarName(host, repository)}${reference.includes(":") ? "@" : ":"}${reference}`

/** What to type to log in at this host. */
export const loginTo = (host: string): string =>
  host === DEFAULT_HOST ? "docker login" : `docker login ${host}`

/**
 * May this host be spoken to in plain HTTP? Loopback always may, as dockerd has 127.0.0.0/8 in its
 * built-in list of insecure registries; the name `localhost` resolves there.
 */
export const isInsecure = ({ host, insecure }: Access): boolean =>
  insecure || /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/.test(host)
