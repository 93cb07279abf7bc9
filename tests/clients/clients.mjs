// The GraphQL clients that people use, each behind the same three calls. What they need beside a URL and a token is here.
import { createHash } from 'node:crypto';
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, gql, HttpLink, InMemoryCache } from '@apollo/client/core';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient as createSse } from 'graphql-sse';
import { createClient as createWs } from 'graphql-ws';
import { onEnd, pipe, subscribe } from 'wonka';
import WebSocket from 'ws';

/** `<url>` with or without /graphql, optionally by another port of this machine. */
export function base(url, port) {
  const target = new URL(url);
  if (port) target.host = `127.0.0.1:${port}`;
  return target.href.replace(/\/(graphql\/?)?$/, '');
}

export const ws = (base, token) =>
  createWs({
    url: `${base.replace(/^http/, 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    connectionParams: { authorization: `Bearer ${token}` },
    // Repeating the first request would repeat its events; who subscribes resumes by the cursor instead.
    retryAttempts: 0,
    onNonLazyError: () => {},
  });

export const sse = (base, token, headers = () => ({})) =>
  createSse({
    url: `${base}/graphql/stream`,
    headers: () => ({ authorization: `Bearer ${token}`, ...headers() }),
    retryAttempts: 0,
  });

/**
 * Apollo Client with its normalising cache. `options.persisted` sends hashes instead of documents, by GET; `options.fetch`
 * stands in for fetch.
 */
export function apollo(base, token, socket, options = {}) {
  const http = new HttpLink({
    uri: `${base}/graphql`,
    fetch: options.fetch,
    headers: { authorization: `Bearer ${token}` },
    useGETForQueries: true,
  });
  const sha256 = (text) => createHash('sha256').update(text).digest('hex');
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries: true });
  return new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === 'subscription',
      new GraphQLWsLink(socket),
      options.persisted ? ApolloLink.from([persisted, http]) : http,
    ),
  });
}

/** urql with its document cache; the options are as Apollo's. `streams` is a client of graphql-ws or graphql-sse. */
export function urql(base, token, streams, options = {}) {
  const stream = subscriptionExchange({
    forwardSubscription: (request) => ({
      subscribe: (sink) => ({ unsubscribe: streams.subscribe(request, sink) }),
    }),
  });
  return new Client({
    url: `${base}/graphql`,
    fetch: options.fetch,
    fetchOptions: () => ({ headers: { authorization: `Bearer ${token}` } }),
    preferGetMethod: true,
    exchanges: [
      cacheExchange,
      ...(options.persisted ? [persistedExchange({ preferGetForPersistedQueries: true })] : []),
      fetchExchange,
      stream,
    ],
  });
}

/** An Apollo subscription told to a sink as graphql-ws tells it. */
function fromApollo(client) {
  return ({ query, variables }, sink) => {
    const subscription = client.subscribe({ query: gql(query), variables }).subscribe({
      next: ({ data, error }) => {
        if (CombinedGraphQLErrors.is(error)) sink.next({ errors: error.errors });
        else if (error) sink.error(error);
        else sink.next({ data });
      },
      error: sink.error,
      complete: sink.complete,
    });
    return () => subscription.unsubscribe();
  };
}

/** The same for urql. */
function fromUrql(client) {
  return ({ query, variables }, sink) => {
    const { unsubscribe } = pipe(
      client.subscription(query, variables),
      onEnd(sink.complete),
      subscribe(({ data, error }) => {
        if (error?.networkError) sink.error(error.networkError);
        else if (error) sink.next({ errors: error.graphQLErrors });
        else sink.next({ data });
      }),
    );
    return unsubscribe;
  };
}

/** By name: `subscribe({ query, variables }, sink)` of each client, which answers how to end it. */
export const streams = {
  ws: (base, token) => ws(base, token).subscribe,
  sse: (base, token, headers) => sse(base, token, headers).subscribe,
  'apollo-ws': (base, token) => fromApollo(apollo(base, token, ws(base, token))),
  'urql-ws': (base, token) => fromUrql(urql(base, token, ws(base, token))),
  'urql-sse': (base, token, headers) => fromUrql(urql(base, token, sse(base, token, headers))),
};
