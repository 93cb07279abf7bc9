// Puts GraphiQL on the page with the token of its field. The token lives in this tab's session storage and goes nowhere but to
// this server: as a header over HTTP, in connection_init over a socket.
'use strict';
(() => {
  const KEY = 'handfast.token';
  const [entry, field, forget, state] = ['entry', 'token', 'forget', 'state'].map((id) => document.getElementById(id));

  // The README's tour, a tab for each stop.
  const tour = [
    `# Where leads stand. Ctrl+Enter runs it.
query Funnel {
  funnel {
    charter { number signed }
    stages { label open entered }
    won
    lost
    recycled
  }
}
`,
    `# What sales was handed, and why the rule said so.
query HandedOver {
  leads(first: 3, filter: { stages: [SAL], outcomes: [OPEN] }) {
    edges {
      node {
        contact { name title }
        fit
        engagement
        handoff { status completeness intact }
        evaluations(first: 1) {
          decisions { id slot outcome reasons { code weight } }
        }
      }
    }
  }
}
`,
    `# Every stage change as it happens.
# After a cut, go on from the last cursor.
# leadStageChanged(after: "…")
subscription Changes {
  leadStageChanged {
    cursor
    lead { contact { name } }
    from
    to
    stageVersion
  }
}
`,
  ];

  const socket = new URL('/graphql', location.href);
  socket.protocol = socket.protocol.replace('http', 'ws');

  const ask = async (input, init) => {
    const answer = await fetch(input, init);
    if (answer.status === 401) state.value = 'The server does not accept this token.';
    return answer;
  };

  const fetcher = (token) => {
    const headers = { authorization: `Bearer ${token}` };
    return GraphiQL.createFetcher({
      url: '/graphql',
      fetch: ask,
      headers,
      subscriptionUrl: socket.href,
      wsConnectionParams: headers,
      // The server has no @defer and no @stream.
      enableIncrementalDelivery: false,
    });
  };

  const root = ReactDOM.createRoot(document.getElementById('graphiql'));
  let shown = 0;
  const show = (token) => {
    state.value = '';
    shown += 1;
    const settings = {
      // Another token may see another schema, and ends what the last one listens to: so everything begins anew.
      key: shown,
      fetcher: fetcher(token),
      defaultTabs: tour.map((query) => ({ query })),
      shouldPersistHeaders: false,
    };
    root.render(React.createElement(GraphiQL, settings));
  };

  entry.addEventListener('submit', (event) => {
    event.preventDefault();
    const token = field.value.trim();
    if (!token) return;
    sessionStorage.setItem(KEY, token);
    show(token);
  });
  forget.addEventListener('click', () => {
    sessionStorage.removeItem(KEY);
    field.value = '';
    root.render(null);
    state.value = 'Forgotten.';
  });

  const known = sessionStorage.getItem(KEY);
  if (known) {
    field.value = known;
    show(known);
  }
})();
