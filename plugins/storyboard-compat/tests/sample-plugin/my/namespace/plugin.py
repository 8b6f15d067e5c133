"""The plugin printed in StoryBoard's manual, word for word.

Only the first three imports are added; the listing leaves them out.
"""

# fmt: off
from storyboard.db import models
from storyboard.db.api import base as db_api
from storyboard.db.api import subscriptions as sub_api
from storyboard.plugin.event_worker import WorkerTaskBase


class MyEventWorker(WorkerTaskBase):

    def enabled(self):
        '''This method should return whether the plugin is enabled and
        configured. It has access to self.config, which is a reference to
        storyboard's global configuration object.
        '''
        return True

    def handle(self, session, author, method, path, status, resource,
               resource_id, sub_resource=None, sub_resource_id=None,
               resource_before=None, resource_after=None):
        """This method takes information about an API event and does
        something with it, for example creating a SubscriptionEvent in the
        database for everyone subscribed to the affected resource.

        :param session: An event-specific SQLAlchemy session.
        :param author: The author's user record.
        :param method: The HTTP Method.
        :param path: The full HTTP Path requested.
        :param status: The returned HTTP Status of the response.
        :param resource: The resource type.
        :param resource_id: The ID of the resource.
        :param sub_resource: The subresource type.
        :param sub_resource_id: The ID of the subresource.
        :param resource_before: The resource state before this event
                                occurred.
        :param resource_after: The resource state after this event occurred.
        """
        if resource == 'timeline_event':
            event = db_api.entity_get(models.TimeLineEvent,
                                      resource_id,
                                      session=session)

            subscribers = sub_api.subscription_get_all_subscriber_ids(
                'story', event.story_id, session=session)

            for user_id in subscribers:
                event_info = event.event_info

                db_api.entity_create(models.SubscriptionEvents, {
                    "author_id": author.id,
                    "subscriber_id": user_id,
                    "event_type": event.event_type,
                    "event_info": event_info
                }, session=session)
