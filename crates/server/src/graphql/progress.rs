//! Progress of long work, as subscriptions tell it.

use std::time::Duration;

use futures_util::Stream;

/// How often the work is looked at: any node may be carrying it out.
const LOOK: Duration = Duration::from_millis(250);

/// The work as it stands, and whenever it got further, until it is over.
pub fn progress<T, L>(
    first: T,
    look: impl Fn() -> L + Send + 'static,
    is_over: fn(&T) -> bool,
) -> impl Stream<Item = async_graphql::Result<T>>
where
    T: Clone + PartialEq + Send + 'static,
    L: Future<Output = async_graphql::Result<Option<T>>> + Send,
{
    struct State<T, F> {
        look: F,
        first: Option<T>,
        told: Option<T>,
    }
    let start = Some(State { look, first: Some(first), told: None });
    futures_util::stream::unfold(start, move |state| async move {
        let mut state = state?;
        loop {
            let now = match state.first.take() {
                Some(first) => first,
                None => {
                    tokio::time::sleep(LOOK).await;
                    match (state.look)().await {
                        Ok(now) => now?,
                        Err(error) => return Some((Err(error), None)),
                    }
                }
            };
            if state.told.as_ref() != Some(&now) {
                state.told = Some(now.clone());
                let over = is_over(&now);
                return Some((Ok(now), (!over).then_some(state)));
            }
        }
    })
}
